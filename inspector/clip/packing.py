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
"""Heads are a small part of a sequence by then, and attention still costs little beside the layers."""


@dataclass(frozen=True)
class Pack:
    """One sequence of T tokens for k classes.

    start (W,) and tails (k, S, W) are embeddings, the M vectors of a context come between them;
    positions (T,) are those of the prompts on their own, mask (T, T) is added to attention, end (k,)
    is where each class's text ends.
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
        tails = self.tails.flatten(0, 1).expand(batch, -1, -1)
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
    each = max(1, (TOKENS_PER_PACK - head) // (layout.length - head))
    return [_pack(layout, some) for some in classes.split(each)]


def _pack(layout: PromptLayout, classes: Tensor) -> Pack:
    head, device = 1 + layout.slots.shape[1], layout.base.device
    tails = layout.base[classes, head:]
    count, length = tails.shape[:2]
    whose = torch.arange(count, device=device).repeat_interleave(length)
    owner = torch.cat([whose.new_full((head,), -1), whose])
    behind = torch.arange(head, head + length, device=device)
    positions = torch.cat([torch.arange(head, device=device), behind.repeat(count)])
    is_shared = (owner[None] == -1) | (owner[None] == owner[:, None])
    is_seen = is_shared & (positions[None] <= positions[:, None])
    mask = torch.zeros(is_seen.shape, device=device).masked_fill(~is_seen, float("-inf"))
    offset = torch.arange(count, device=device) * length
    return Pack(layout.base[0, 0], tails, positions, mask, layout.end[classes] + offset)
