"""A trigger, however it was found: what it does to pictures, and a picture of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from inspector.detection.spaces import Member, TriggerSpace

Trigger = Callable[[Tensor], Tensor]
"""Pixels (B, 3, S, S) in [0,1] to the same with the trigger."""


@dataclass(frozen=True)
class Added:
    """A perturbation (3, S, S) that is added, in pixel units of [0,1]."""

    perturbation: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        return (pixels + self.perturbation).clamp(0, 1)


@dataclass(frozen=True)
class Laid:
    """A member of a space of triggers."""

    space: TriggerSpace
    member: Member

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        return self.space.apply(self.member, pixels)


def drawn(trigger: Trigger, pixels: Tensor) -> Tensor:
    """What a trigger adds to pictures (B, 3, S, S) in [0,1], the mean of them (3, S, S).

    Of an added perturbation it is the perturbation itself, wherever no picture is at its bounds.
    """
    if isinstance(trigger, Added):
        return trigger.perturbation
    return (trigger(pixels) - pixels).mean(0)
