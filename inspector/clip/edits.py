"""What an adapter changes in the weights of a copy of the backbone's encoders.

Copies take the place of the backbone's tensors first, then low-rank changes are added to what
stands there: W + s B A and, with magnitudes m (DoRA), each row of the sum brought to norm m. Merged
weights give what PEFT computes layer by layer. Knows no names of files. Source: huggingface/peft
`tuners/lora/{layer,dora}.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inspector.checkpoint.families import Family
from inspector.checkpoint.families.parts import Edits, LowRank, Place
from inspector.clip.backbone import Backbone
from inspector.clip.weights import compared, placed
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.findings import Finding, Severity

_SHOWN = 3


def edited(edits: Edits, family: Family, backbone: Backbone) -> tuple[Any, list[Finding]]:
    """A copy of the backbone's model with the changes, and what is remarkable about them.

    Raises:
        BackboneMismatch: tensors that the backbone does not have, or of other shapes.
        AssemblyError: values that are not finite, modules that are left to chance.
    """
    _check_unset(edits, backbone)
    model = copy.deepcopy(backbone.model)
    state = model.state_dict()
    for place, tensor in edits.replaced.items():
        _view(place, state, backbone).copy_(_sound(place, tensor, state, backbone))
    whole = {placed(place.name, backbone) for place in edits.replaced}
    copies = {name: state[name].clone() for name in sorted(whole)}
    findings = compared(copies, backbone.model.state_dict(), family, backbone)
    for place, shift in edits.shifts.items():
        _view(place, state, backbone).add_(_sound(place, shift, state, backbone))
    for place, change in edits.low_rank.items():
        _merge(place, change, state, backbone)
    if edits.low_rank:
        said = f"{len(edits.low_rank)} weights of the encoders are changed by low-rank matrices."
        findings.append(
            Finding("encoder-tuned", Severity.INFO, f"{said} {family.name} tunes them.")
        )
    if edits.base:
        said = (
            f"the adapter names its base model {edits.base}, which its loader may fetch; it was "
            f"read on backbone {backbone.id!r}, and what is said holds for that one only"
        )
        findings.append(Finding("adapter-base", Severity.INFO, said))
    return model.eval().requires_grad_(False), findings


def _added(change: LowRank) -> Tensor:
    """s B A, as (out, in)."""
    added: Tensor = change.scale * change.up.float() @ change.down.float()
    return added


def _check_unset(edits: Edits, backbone: Backbone) -> None:
    towers = {
        "text": getattr(backbone.model, "text", backbone.model),
        "vision": backbone.model.visual,
    }
    transformers = {name: getattr(tower, "transformer", None) for name, tower in towers.items()}
    blocks = {name: len(t.resblocks) for name, t in transformers.items() if t is not None}
    unset = edits.unset(blocks)
    if unset:
        shown = ", ".join(unset[:_SHOWN]) + (", …" if len(unset) > _SHOWN else "")
        raise AssemblyError(
            f"the adapter has no matrices for {len(unset)} modules that it adapts ({shown}), and "
            "its settings let the loader take random ones; ask for one saved with "
            "init_lora_weights true"
        )


def _view(place: Place, state: Mapping[str, Tensor], backbone: Backbone) -> Tensor:
    """The part of the model's own tensor that is meant; what is written there is in the model."""
    name = placed(place.name, backbone)
    if name not in state:
        raise BackboneMismatch(f"backbone {backbone.id!r} has no {name}, which the adapter changes")
    tensor = state[name]
    if place.third is not None:
        tensor = tensor.chunk(3)[place.third]
    return tensor.T if place.is_transposed else tensor


def _sound(place: Place, tensor: Tensor, state: Mapping[str, Tensor], backbone: Backbone) -> Tensor:
    wanted = _view(place, state, backbone).shape
    if tensor.shape != wanted:
        raise BackboneMismatch(
            f"the adapter's {place.name} has shape {tuple(tensor.shape)}, in backbone "
            f"{backbone.id!r} {tuple(wanted)}"
        )
    if not bool(torch.isfinite(tensor).all()):
        raise AssemblyError(f"{place.name} holds NaN or infinity, so there are no logits")
    return tensor.float()


def _merge(place: Place, change: LowRank, state: Mapping[str, Tensor], backbone: Backbone) -> None:
    weight = _view(place, state, backbone)
    rows = len(weight)
    added = _added(change)
    if added.shape != (rows, weight[0].numel()):
        raise BackboneMismatch(
            f"a low-rank change of {place.name} has shape {tuple(added.shape)}, in backbone "
            f"{backbone.id!r} the weight is {rows} x {weight[0].numel()}"
        )
    merged = weight + added.to(weight.device).view(weight.shape)
    if change.magnitude is not None:
        norms = merged.flatten(1).norm(dim=1)
        merged *= (change.magnitude.to(norms) / norms).view(-1, *[1] * (weight.ndim - 1))
    weight.copy_(_sound(place, merged, state, backbone))
