"""Prompts of several classes in one sequence, behind one copy of what they have in common.

The start token and the context of an instance-conditioned prompt are the same for all classes of an
image, and in a causal tower what stands behind them changes nothing there. So the head is encoded
once for several classes: their tails stand one behind the other, each with the positions that it
has on its own, and a mask keeps them from seeing one another. Exact, and about half of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.prompts import PromptLayout

TOKENS_PER_PACK = 96
"""Heads are a small part of a sequence by then, and attention still costs
little beside the layers."""


@dataclass(frozen=True)
class Pack:
    """One sequence of T tokens for k classes.

    start (W,) and tails (S, W) are embeddings, the M vectors of a context come between them;
    positions (T,) are those of the prompts on their own, mask (T, T) is added to attention, end
    (k,) is where each class's text ends.
    """

    start: Tensor
    tails: Tensor
    positions: Tensor
    mask: Tensor
    end: Tensor

    def fill(self, context: Tensor) -> Tensor:
        """Sequences (B, T, W) for contexts (B, M, W)."""
        batch = len(context)
        start = self.start.expand(batch, 1, -1)
        tails = self.tails.expand(batch, -1, -1)
        return torch.cat([start, context.to(start.dtype), tails], 1)


def can_pack(layout: PromptLayout) -> bool:
    """Whether all prompts begin alike: a start token, and all of the context behind it."""
    slots = layout.slots
    behind = torch.arange(1, 1 + slots.shape[1], device=slots.device)
    return bool((slots == behind).all() and (layout.base[:, 0] == layout.base[0, 0]).all())


def packs(layout: PromptLayout, classes: Tensor | None = None) -> list[Pack]:
    """The given classes (k,), or all, in their order."""
    if classes is None:
        classes = torch.arange(len(layout.base), device=layout.base.device)
    head = 1 + layout.slots.shape[1]
    lengths = (layout.end[classes] - head + 1).tolist()
    groups: list[list[int]] = []
    room = 0
    for index, length in zip(classes.tolist(), lengths, strict=True):
        if length > room or not groups:
            groups.append([])
            room = TOKENS_PER_PACK - head
        groups[-1].append(index)
        room -= length
    return [_pack(layout, torch.tensor(some, device=classes.device)) for some in groups]


def _pack(layout: PromptLayout, classes: Tensor) -> Pack:
    head, device = 1 + layout.slots.shape[1], layout.base.device
    tails, last = layout.base[classes, head:], layout.end[classes] - head
    behind = torch.arange(tails.shape[1], device=device)
    # What stands behind the end of a text is never read.
    whose, places = (behind <= last[:, None]).nonzero(as_tuple=True)
    owner = torch.cat([whose.new_full((head,), -1), whose])
    positions = torch.cat([torch.arange(head, device=device), head + places])
    is_shared = (owner[None] == -1) | (owner[None] == owner[:, None])
    is_seen = is_shared & (positions[None] <= positions[:, None])
    mask = torch.zeros(is_seen.shape, device=device).masked_fill(~is_seen, float("-inf"))
    end = head - 1 + (last + 1).cumsum(0)
    return Pack(layout.base[0, 0], tails[whose, places], positions, mask, end)
