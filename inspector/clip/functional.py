"""Encoder weights as a differentiable function of a file's parts.

`inspector.clip` writes what a file changes into a copy of the model, for good; here the same sums
keep their gradient, so that the file's own tensors can be tuned. That both give the same weights is
tested for every family.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from inspector.checkpoint.families.parts import Edits, LowRank, Parts, Place
from inspector.checkpoint.reading import Scalar
from inspector.clip.backbone import Backbone
from inspector.clip.lora import ROWS, adapted, alpha_of
from inspector.clip.weights import placed


def weights_of(
    parts: Parts, settings: Mapping[str, Scalar], backbone: Backbone
) -> dict[str, Tensor]:
    """The weights, of any shape, that the parts bring or change, by their names in the model.

    Args:
        settings: of CLIP-LoRA's matrices.
        backbone: the trusted one, whose weights low-rank matrices change.
    """
    if parts.weights:
        state = backbone.model.state_dict()
        own = {placed(name, backbone): some for name, some in parts.weights.items()}
        return {name: _joined(some) for name, some in own.items() if name in state}
    if parts.low_rank:
        return _of_matrices(parts.low_rank, settings, backbone)
    return {} if parts.edits is None else _edited(parts.edits, backbone)


def view_of(place: Place, whole: Tensor) -> Tensor:
    """The part of a weight, of any shape, that is meant."""
    part = whole if place.third is None else whole.chunk(3)[place.third]
    return part.T if place.is_transposed else part


def _joined(some: tuple[Tensor, ...]) -> Tensor:
    return (some[0] if len(some) == 1 else torch.cat(some)).float()


def _of_matrices(
    matrices: Mapping[str, Tensor], settings: Mapping[str, Scalar], backbone: Backbone
) -> dict[str, Tensor]:
    model = backbone.model
    names = {id(module): name for name, module in model.named_modules()}
    blocks, alpha = adapted(model, settings, backbone), alpha_of(settings)
    changed: dict[str, Tensor] = {}
    for name in sorted({name.rpartition(".")[0] for name in matrices}):
        layer, projection = name.split(".")
        attention = f"{names[id(blocks[int(layer.removeprefix('layer_'))])]}.attn"
        down, up = (matrices[f"{name}.w_lora_{letter}"] for letter in "AB")
        is_out = projection == "proj"
        place = Place(
            f"{attention}.{'out_proj.weight' if is_out else 'in_proj_weight'}",
            None if is_out else ROWS[projection],
        )
        change = LowRank(down, up, alpha / len(down) ** 0.5)
        whole = changed.get(place.name, model.get_parameter(place.name))
        changed[place.name] = _replaced(place, whole, _merged(view_of(place, whole), change))
    return changed


def _edited(edits: Edits, backbone: Backbone) -> dict[str, Tensor]:
    state = backbone.model.state_dict()
    changed: dict[str, Tensor] = {}

    def put(place: Place, value: Tensor) -> None:
        name = placed(place.name, backbone)
        changed[name] = _replaced(place, changed.get(name, state[name]), value.to(state[name]))

    def part(place: Place) -> Tensor:
        name = placed(place.name, backbone)
        return view_of(place, changed.get(name, state[name]))

    for place, value in edits.replaced.items():
        put(place, value)
    for place, shift in edits.shifts.items():
        put(place, part(place) + shift)
    for place, change in edits.low_rank.items():
        put(place, _merged(part(place), change))
    return changed


def _merged(weight: Tensor, change: LowRank) -> Tensor:
    added = change.scale * change.up.float() @ change.down.float()
    merged: Tensor = weight + added.to(weight.device).view(weight.shape)
    if change.magnitude is None:
        return merged
    norms = merged.flatten(1).norm(dim=1)
    scales: Tensor = change.magnitude.to(norms) / norms
    return merged * scales.view(-1, *[1] * (weight.ndim - 1))


def _replaced(place: Place, whole: Tensor, part: Tensor) -> Tensor:
    own = part.T if place.is_transposed else part
    if place.third is None:
        return own
    thirds = list(whole.chunk(3))
    thirds[place.third] = own
    return torch.cat(thirds)
