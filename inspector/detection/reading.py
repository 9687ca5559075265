"""The whole search by contrast on one classifier: twins, screening, contenders, triggers, excess.

Everything that a bank of honest models must go through exactly as the suspect does stands here, and
nothing that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from inspector.clip.classifier import Classifier
from inspector.detection.contrast import Contrast, Effort, contenders
from inspector.detection.excess import Excess, HeldOut
from inspector.detection.pools import Pools
from inspector.detection.references import References
from inspector.detection.spaces import Member, TriggerSpace
from inspector.progress import Meter


@dataclass(frozen=True)
class Search:
    """What is spent on one classifier.

    Attributes:
        spaces: of triggers.
        leading: classes that each space's screening keeps; None: all are searched.
        num_eval: held-out probes that a trigger is put on.
    """

    spaces: Sequence[TriggerSpace]
    leading: int | None = 3
    num_eval: int = 96
    effort: Effort = field(default_factory=Effort)


@dataclass(frozen=True)
class Found:
    """The trigger of one space that was found for a class, and what it does to every class."""

    target: int
    space: TriggerSpace
    member: Member
    excess: Excess

    @property
    def value(self) -> float:
        """Excess of its own class, in [0,1]."""
        return float(self.excess.value[self.target])


@dataclass(frozen=True)
class Reading:
    """All triggers that were found, and how well twins follow the classifier on clean pictures."""

    found: tuple[Found, ...]
    agreement: float

    @property
    def targets(self) -> list[int]:
        """Classes that were searched, ascending."""
        return sorted({one.target for one in self.found})

    def of(self, target: int) -> dict[str, Found]:
        """By space, what was found for a class."""
        return {one.space.name: one for one in self.found if one.target == target}


def read(classifier: Classifier, pools: Pools, search: Search, seed: int, meter: Meter) -> Reading:
    """Search a frozen classifier; the same for a seed.

    Raises:
        BudgetExceeded: the time ran out.
        NumericalError: a search became NaN or infinite.
        ValueError: there are fewer than two probes to teach twins.
    """
    references = References.of(classifier, pools.optimisation)
    contrast = Contrast(classifier, references)
    held_out = HeldOut.of(classifier, references, pools.held_out[: search.num_eval])
    generator = torch.Generator().manual_seed(seed)
    screened = [contrast.screen(space, search.effort, generator) for space in search.spaces]
    every = list(range(len(classifier.classnames)))
    targets = every if search.leading is None else contenders(screened, search.leading)
    meter.expect(len(screened))
    found = []
    for one in meter.within_budget(screened, lambda one: f"{one.space.name} triggers"):
        members = contrast.search(one, targets, search.effort, generator)
        for target, member in members.items():
            found.append(Found(target, one.space, member, held_out.excess(one.space, member)))
    meter.check()
    return Reading(tuple(found), references.agreement)
