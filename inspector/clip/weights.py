"""Encoder weights that a file brings along, beside those of the backbone that it claims.

They are the ones inspected, because they are the ones that the buyer would run. Prompt methods do
not touch them, so any difference beyond the file's own rounding is a finding with its size; where a
method does tune some, these are told apart.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inspector.checkpoint.families import Family
from inspector.checkpoint.families.family import COUNTER
from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.findings import Finding, Severity

_SMALLEST = 1e-3
"""Weights below count as this large."""
_SHOWN = 5
_SCALE, _BIAS = "logit_scale", "logit_bias"
_NOT_WEIGHTS = ("attn_mask", "token_embedding.weight", COUNTER)
"""What an encoder may lack: prompt learners are given the backbone's embedding."""
_BLOCK = re.compile(r"transformer\.resblocks\.[0-9]+\.")


def own_weights(
    weights: Mapping[str, tuple[Tensor, ...]], family: Family, backbone: Backbone
) -> tuple[Any, list[Finding]]:
    """A copy of the backbone's model with the file's encoder weights, and how they differ.

    Args:
        weights: by name in OpenAI's layout; several tensors are joined along the first axis.

    Raises:
        BackboneMismatch: shapes or blocks that the backbone does not have, or a lack of some.
        AssemblyError: weights that are not finite.
    """
    own = {
        placed(name, backbone): parts[0] if len(parts) == 1 else torch.cat(parts)
        for name, parts in weights.items()
        if not name.endswith(COUNTER)
    }
    constant = _constant(own.pop(_BIAS, None))
    state = backbone.model.state_dict()
    odd = _check_names(own, state, backbone)
    own = {name: tensor for name, tensor in own.items() if name not in odd}
    for name, tensor in own.items():
        if not bool(torch.isfinite(tensor).all()):
            raise AssemblyError(f"{name} holds NaN or infinity, so there are no logits")
    findings = [*_odd(odd), *constant, *compared(own, state, family, backbone)]
    model = copy.deepcopy(backbone.model)
    model.load_state_dict({name: tensor.float() for name, tensor in own.items()}, strict=False)
    return model.eval().requires_grad_(False), findings


def restored_rows(rows: Tensor, rounding: float, backbone: Backbone) -> Tensor:
    """Embedding rows (..., W), those within the family's rounding of a table row being that row."""
    if not rounding:
        return rows
    table = backbone.text.token_embedding.detach().cpu().to(rows.dtype)
    flat, inverse = rows.reshape(-1, rows.shape[-1]).unique(dim=0, return_inverse=True)
    nearest = table[torch.cdist(flat.float(), table.float()).argmin(1)]
    off = (nearest.float() - flat.float()).abs().amax(1)
    is_near = off <= rounding * nearest.float().abs().amax(1)
    return torch.where(is_near[:, None], nearest, flat)[inverse].view(rows.shape)


def placed(name: str, backbone: Backbone) -> str:
    """The name in open_clip, whose CustomTextCLIP keeps its text tower one level down."""
    is_text = not name.startswith(("visual.", "logit_"))
    return f"text.{name}" if is_text and hasattr(backbone.model, "text") else name


def _check_names(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], backbone: Backbone
) -> list[str]:
    """Names that the backbone does not have; the original codes ignore them on loading."""
    unknown = sorted(own.keys() - state.keys())
    missing_blocks = [name for name in unknown if _BLOCK.search(name)]
    if missing_blocks or 2 * len(unknown) > len(own):
        raise BackboneMismatch(
            f"backbone {backbone.id!r} has no {_listed(missing_blocks or unknown)}"
        )
    for name in own.keys() & state.keys():
        if own[name].shape != state[name].shape:
            raise BackboneMismatch(
                f"{name} has shape {tuple(own[name].shape)}, in backbone {backbone.id!r} "
                f"{tuple(state[name].shape)}"
            )
    lacking = [
        name
        for name in sorted(state.keys() - own.keys())
        if not name.endswith(_NOT_WEIGHTS)
        and any(_side(name) == _side(present) != _SCALE for present in own)
    ]
    if lacking:
        raise BackboneMismatch(f"the file lacks {_listed(lacking)}")
    return unknown


def _side(name: str) -> str:
    if name.startswith("logit_"):
        return _SCALE
    return "image" if name.startswith("visual.") else "text"


def compared(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], family: Family, backbone: Backbone
) -> list[Finding]:
    """How the delivered encoder tensors differ from the backbone's, by their names in open_clip.

    Raises:
        AssemblyError: the factor of cosines is infinite.
    """
    changed: list[tuple[float, str]] = []
    tuned: list[tuple[float, str]] = []
    for name, tensor in own.items():
        distance = _distance(tensor, state[name].cpu())
        if name == _SCALE or distance <= family.rounding:
            continue
        kind = tuned if family.tunes(name.removeprefix("text.")) else changed
        kind.append((distance, name))
    findings = []
    if changed:
        said = f"{_counted(changed, own, backbone)} The delivered ones are inspected."
        findings.append(Finding("encoder-changed", Severity.HIGH, said))
    if tuned:
        said = f"{_counted(tuned, own, backbone)} {family.name} tunes them."
        findings.append(Finding("encoder-tuned", Severity.INFO, said))
    return [*findings, *_scale(own, state, family)]


def _scale(own: Mapping[str, Tensor], state: Mapping[str, Tensor], family: Family) -> list[Finding]:
    if _SCALE not in own or _distance(own[_SCALE], state[_SCALE].cpu()) <= family.rounding:
        return []
    factor, expected = (float(tensors[_SCALE].float().exp()) for tensors in (own, state))
    if not math.isfinite(factor):
        raise AssemblyError(f"exp of {_SCALE} is infinite, so there are no logits")
    said = f"the file's logit scale is {factor:.6g}, the backbone's {expected:.6g}"
    is_tuned = family.tunes(_SCALE)
    severity = Severity.INFO if is_tuned else Severity.HIGH
    return [Finding("logit-scale-changed", severity, f"{said}; the file's is used")]


def _distance(tensor: Tensor, reference: Tensor) -> float:
    """Largest relative difference after the reference is rounded to the file's type."""
    rounded = reference.to(tensor.dtype)
    if torch.equal(rounded, tensor):
        return 0.0
    difference = (rounded.double() - tensor.double()).abs()
    return float((difference / rounded.double().abs().clamp(min=_SMALLEST)).max())


def _counted(
    changed: list[tuple[float, str]], own: Mapping[str, Tensor], backbone: Backbone
) -> str:
    worst, name = max(changed)
    return (
        f"{len(changed)} of {len(own)} encoder tensors are not those of backbone {backbone.id!r}; "
        f"most of all {name}, by {worst:.2g} of its value."
    )


def _constant(bias: Tensor | None) -> list[Finding]:
    if bias is None:
        return []
    if not math.isfinite(float(bias)):
        raise AssemblyError(f"{_BIAS} is NaN or infinite, so there are no logits")
    said = (
        f"the file adds {float(bias):.6g} to every logit, which changes no probability; logits are "
        "given without it"
    )
    return [Finding("logit-bias-left-out", Severity.INFO, said)]


def _odd(names: list[str]) -> list[Finding]:
    if not names:
        return []
    said = f"{len(names)} tensors that the encoders do not have, not read: {_listed(names)}"
    return [Finding("unknown-key", Severity.HIGH, said)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
