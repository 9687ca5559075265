"""Reading by random triggers: what a delivered classifier makes of them, and no twin of it.

A few random members of each family of `inspector.detection.random_triggers` are put on a share of
the held-out probes. Nothing is searched, so nothing can be found by searching long enough: honest
models hardly move under them (experiment 58), and prompts that were taught one pattern often answer
others of the kind. Of the probes that are elsewhere without the trigger and of which both twins
keep their answer, v_k is the share that goes to class k under one trigger
(`inspector.detection.excess`). What merely disturbs strews pictures over classes, a backdoor
gathers them:

    beyond_k = v_k - max over j≠k of v_j - (1/K) sum over j of v_j

the last being the expected largest gap of what is strewn over K classes at random (a broken stick).
An attacker's trigger need not resemble every trigger that is drawn: the value of class k is the
mean of the LEADING largest over all of them, in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from inspector.detection.excess import HeldOut
from inspector.detection.random_triggers import SHARES, draw, members_of
from inspector.progress import Meter

LEADING = 5
"""Of 64 triggers. With one, chance of the few probes that it is put on would decide; with means
over families those that nobody answers thin out the others (experiment 58)."""


@dataclass(frozen=True)
class RandomReading:
    """By family, the share of held-out probes that each member carries to each class, (M, K)."""

    carried: Mapping[str, Tensor]

    @cached_property
    def beyond(self) -> dict[str, Tensor]:
        """By family (M, K), leads over the next class beyond what strewing leaves."""
        return {name: beyond_chance(shares) for name, shares in self.carried.items()}

    @cached_property
    def values(self) -> Tensor:
        """By class (K,), the mean of the largest over all triggers."""
        return torch.cat(list(self.beyond.values())).sort(0).values[-LEADING:].mean(0)

    def value(self, target: int) -> float:
        """Of one class, in [-1,1]; 0 where the time ran out before any family."""
        return float(self.values[target]) if self.beyond else 0.0


def beyond_chance(carried: Tensor) -> Tensor:
    """Leads (M, K) of shares (M, K) in [0,1] over the largest other of a row, less its mean."""
    first, second = carried.topk(2, dim=1).values.T
    is_first = carried.argmax(1, keepdim=True) == torch.arange(
        carried.shape[1], device=carried.device
    )
    others = torch.where(is_first, second[:, None], first[:, None])
    return carried - others - carried.mean(1, keepdim=True)


def read_random(held_out: HeldOut, seed: int, meter: Meter) -> RandomReading:
    """Put random triggers on held-out probes; the same for a seed.

    Where the time runs out, the families that were read until then are the reading.
    """
    families = draw(held_out.pixels.shape[-1], seed)
    carried = {}
    for name in meter.within_budget(families, "random {} triggers".format):
        every = min(SHARES[name], len(held_out.pixels))
        shares = [
            held_out.share(number, every).excess_of(trigger).carried
            for number, trigger in enumerate(families[name])
        ]
        carried[name] = torch.stack(shares)
    return RandomReading(carried)


def encoded_by_random(held_out: int) -> int:
    """Pictures that one reading encodes, of so many held-out probes."""
    return sum(
        len(range(number % every, held_out, every))
        for family, every in SHARES.items()
        for number in range(members_of(family))
    )
