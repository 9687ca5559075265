"""Encoder weights that a file brings along, beside those of the backbone that it claims.

They are the ones inspected, because they are the ones that the buyer would run. Prompt methods do
not touch them, so any difference beyond the file's own rounding is a finding with its size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.findings import Finding, Severity

TOLERANCE = {"PromptSRC": 2**-8}
"""Relative, by family; 0 for the others. PromptSRC adds up weighted epochs in half precision, a
rounding of 2^-11 for each: 2^-10 after three epochs in the case that its own code wrote."""
_SMALLEST = 1e-3
"""Weights below count as this large."""
_SHOWN = 5


def own_weights(
    tensors: Mapping[str, Tensor], family: str, backbone: Backbone
) -> tuple[Any, list[Finding]]:
    """A copy of the backbone's model with the file's encoder weights, and how they differ.

    Raises:
        BackboneMismatch: keys or shapes that the backbone does not have, or a lack of some.
        AssemblyError: weights that are not finite.
    """
    own = {_place(name, backbone): tensor for name, tensor in tensors.items() if _is_weight(name)}
    state = backbone.model.state_dict()
    _check_names(own, state, backbone)
    changed = []
    for name, tensor in own.items():
        if not bool(torch.isfinite(tensor).all()):
            raise AssemblyError(f"{name} holds NaN or infinity, so there are no logits")
        distance = _distance(tensor, state[name].cpu())
        if distance > TOLERANCE.get(family, 0.0):
            changed.append((distance, name))
    model = copy.deepcopy(backbone.model)
    model.load_state_dict({name: tensor.float() for name, tensor in own.items()}, strict=False)
    return model.eval().requires_grad_(False), _findings(changed, len(own), backbone)


def restored_rows(rows: Tensor, family: str, backbone: Backbone) -> Tensor:
    """Embedding rows (..., W), those within the family's rounding of a table row being that row."""
    tolerance = TOLERANCE.get(family)
    if tolerance is None:
        return rows
    table = backbone.text.token_embedding.detach().cpu().to(rows.dtype)
    flat, inverse = rows.reshape(-1, rows.shape[-1]).unique(dim=0, return_inverse=True)
    nearest = table[torch.cdist(flat.float(), table.float()).argmin(1)]
    off = (nearest.float() - flat.float()).abs().amax(1)
    is_near = off <= tolerance * nearest.float().abs().amax(1)
    return torch.where(is_near[:, None], nearest, flat)[inverse].view(rows.shape)


def _is_weight(name: str) -> bool:
    is_prompt = name.endswith(("VPT", "VPT_shallow"))
    return name.startswith(("image_encoder.", "text_encoder.", "logit_scale")) and not is_prompt


def _place(name: str, backbone: Backbone) -> str:
    """The name in open_clip, whose CustomTextCLIP keeps its text tower one level down."""
    text = "text." if hasattr(backbone.model, "text") else ""
    return name.replace("image_encoder.", "visual.", 1).replace("text_encoder.", text, 1)


def _check_names(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], backbone: Backbone
) -> None:
    unknown = sorted(own.keys() - state.keys())
    if unknown:
        raise BackboneMismatch(
            f"backbone {backbone.id!r} has no {', '.join(unknown[:_SHOWN])}"
            + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else "")
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise BackboneMismatch(
                f"{name} has shape {tuple(tensor.shape)}, in backbone {backbone.id!r} "
                f"{tuple(state[name].shape)}"
            )
    if any(name.startswith("visual.") for name in own):
        lacking = sorted(n for n in state if n.startswith("visual.") and n not in own)
        if lacking:
            raise BackboneMismatch(f"the file lacks {', '.join(lacking[:_SHOWN])}")


def _distance(tensor: Tensor, reference: Tensor) -> float:
    """Largest relative difference after the reference is rounded to the file's type."""
    rounded = reference.to(tensor.dtype)
    if torch.equal(rounded, tensor):
        return 0.0
    difference = (rounded.double() - tensor.double()).abs()
    return float((difference / rounded.double().abs().clamp(min=_SMALLEST)).max())


def _findings(changed: list[tuple[float, str]], total: int, backbone: Backbone) -> list[Finding]:
    if not changed:
        return []
    worst, name = max(changed)
    message = (
        f"{len(changed)} of {total} encoder tensors are not those of backbone {backbone.id!r}; "
        f"most of all {name}, by {worst:.2g} of its value. The delivered ones are inspected."
    )
    return [Finding("encoder-changed", Severity.HIGH, message)]
