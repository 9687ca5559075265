"""One search by contrast of a classifier: screening, contenders, triggers, excess."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from inspector.detection.contrast import Contrast, Effort, contenders
from inspector.detection.excess import Excess, HeldOut
from inspector.detection.spaces import Member, TriggerSpace
from inspector.progress import Meter


@dataclass(frozen=True)
class Work:
    """Pictures of a reading: those whose gradient moves a trigger, and those only encoded."""

    updated: int
    encoded: int


@dataclass(frozen=True)
class Search:
    """What is spent on one classifier.

    Attributes:
        spaces: of triggers.
        leading: classes that each space's screening keeps; None: all.
        num_eval: held-out probes that a trigger is put on.
    """

    spaces: Sequence[TriggerSpace]
    leading: int | None
    num_eval: int
    effort: Effort

    def work(self, classes: int) -> Work:
        """Of one reading, at most."""
        effort, spaces = self.effort, len(self.spaces)
        kept = classes if self.leading is None else min(classes, self.leading * spaces)
        finalists = min(kept, effort.finalists)
        updates = kept * effort.trial + finalists * (effort.steps - effort.trial)
        screened = sum(space.members for space in self.spaces) * effort.screened
        return Work(spaces * updates * effort.batch, screened + spaces * finalists * self.num_eval)


@dataclass(frozen=True)
class Found:
    """The trigger of one space that was found for a class, and what it does to every class."""

    target: int
    space: TriggerSpace
    member: Member
    excess: Excess

    @property
    def value(self) -> float:
        """Excess of its own class, in [-1,1]."""
        return float(self.excess.value[self.target])


@dataclass(frozen=True)
class Reading:
    """All triggers that were found, and how well twins follow the classifier on clean pictures."""

    seed: int
    found: tuple[Found, ...]
    agreement: float

    @property
    def targets(self) -> list[int]:
        """Classes that were searched, ascending."""
        return sorted({one.target for one in self.found})

    def of(self, target: int) -> dict[str, Found]:
        """By space, what was found for a class."""
        return {one.space.name: one for one in self.found if one.target == target}

    def best(self, target: int) -> Found | None:
        """The trigger that carries most to a class; None where the class was no finalist."""
        return max(self.of(target).values(), key=lambda one: one.value, default=None)

    def value(self, target: int) -> float:
        """The largest excess among the spaces, in [-1,1]; 0 where the class was no finalist."""
        best = self.best(target)
        return 0.0 if best is None else best.value


def read(
    contrast: Contrast, held_out: HeldOut, search: Search, targets: Sequence[int], seed: int,
    meter: Meter, heard: Collection[int] = (),
) -> Reading:  # fmt: skip
    """Search a frozen classifier for triggers toward `targets`; the same for a seed.

    Where the time runs out, the spaces that were searched until then are the reading.

    Args:
        heard: classes that another reading speaks of: no space drops these.

    Raises:
        NumericalError: a search became NaN or infinite.
    """
    generator = torch.Generator().manual_seed(seed)
    screened = [contrast.screen(space, search.effort, generator) for space in search.spaces]
    kept = targets if search.leading is None else contenders(screened, search.leading, targets)
    kept = sorted({*kept, *heard})
    found = []
    for one in meter.within_budget(screened, lambda one: f"{one.space.name} triggers"):
        members = contrast.search(one, kept, search.effort, generator, heard)
        for target, member in members.items():
            found.append(Found(target, one.space, member, held_out.excess(one.space, member)))
    return Reading(seed, tuple(found), contrast.references.agreement)
