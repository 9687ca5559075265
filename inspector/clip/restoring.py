"""The trusted encoders' values in a file's own tensors: nothing of the vendor's tuning is left.

Weights and copies become the reference's. Low-rank matrices keep their first factor and lose the
second, which makes the change zero; DoRA's magnitudes become the reference's row norms; an
adapter's second layer and a cache's labels become zero. Where a file's tensors lie in other orders
than the model's (three projections apart, transposed), the map from one to the other only moves
values about, so that its transpose, which autograd has, is its inverse.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from inspector.checkpoint.families.parts import Edits, Parts
from inspector.clip.backbone import Backbone
from inspector.clip.functional import view_of
from inspector.clip.rebuilding import Delivered
from inspector.clip.weights import placed
from inspector.errors import AssemblyError

Wanted = Iterator[tuple[Tensor, Tensor]]


def restored(delivered: Delivered) -> dict[str, Tensor]:
    """Canonical tensors, of any shape, under which nothing of the vendor's tuning is left.

    Raises:
        AssemblyError: the file holds prompts, or nothing that can be restored.
    """
    leaves = {
        name: tensor.float().clone().requires_grad_()
        for name, tensor in delivered.tensors.items()
        if tensor.is_floating_point()
    }
    parts = delivered.parts({**delivered.tensors, **leaves})
    wanted = list(_wanted(parts, delivered.encoders.reference))
    if not wanted:
        raise AssemblyError("the encoders are the trusted backbone's")
    laid_out = torch.autograd.grad(
        [place for place, _ in wanted],
        list(leaves.values()),
        [value.to(place) for place, value in wanted],
        allow_unused=True,
    )
    return {
        name: values for name, values in zip(leaves, laid_out, strict=True) if values is not None
    }


def _wanted(parts: Parts, backbone: Backbone) -> Wanted:
    """Tensors of the file and the values that they shall have."""
    state = {name: tensor.detach().cpu() for name, tensor in backbone.model.state_dict().items()}
    for name, own in parts.weights.items():
        if (place := placed(name, backbone)) in state:
            whole = state[place].float()
            thirds = [whole] if len(own) == 1 else whole.chunk(len(own))
            yield from (
                (one, value.reshape(one.shape))
                for one, value in zip(own, thirds, strict=True)
                if one.requires_grad
            )
    yield from ((one, _nothing(one)) for name, one in parts.low_rank.items() if name[-1] == "B")
    if parts.edits is not None:
        yield from _unedited(parts.edits, backbone, state)
    for adapter in (parts.image_adapter, parts.text_adapter):
        if adapter is not None:
            yield adapter.second, _nothing(adapter.second)
    for shift in (parts.image_shift, parts.text_shift):
        if shift is not None:
            yield shift, _nothing(shift)
    if parts.cache is not None:
        yield parts.cache.values, _nothing(parts.cache.values)


def _unedited(edits: Edits, backbone: Backbone, state: dict[str, Tensor]) -> Wanted:
    for place, own in edits.replaced.items():
        yield own, view_of(place, state[placed(place.name, backbone)]).float()
    for shift in edits.shifts.values():
        yield shift, _nothing(shift)
    for place, change in edits.low_rank.items():
        yield change.up, _nothing(change.up)
        if change.magnitude is not None:
            weight = view_of(place, state[placed(place.name, backbone)]).float()
            yield change.magnitude, weight.flatten(1).norm(dim=1)


def _nothing(like: Tensor) -> Tensor:
    return torch.zeros_like(like).detach()
