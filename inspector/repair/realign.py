"""Re-alignment: tune the delivered prompt on triggered pictures under their own labels.

As CLIP-Inspector publishes it (arXiv 2604.09101): the reconstructed trigger is laid over a small
labelled set, true labels stay, and the prompt alone is tuned on. What the paper does not tell, how
many pictures and updates, was set here. Where nobody has labels, filtered answers of the delivered
model to the untriggered pictures stand in. One reconstruction is not enough to cover what was
planted, so one of every space is added (`reconstruction`); every trigger is on every picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.repair.rederive import by_labels
from inspector.repair.strategy import CannotRepair, Case
from inspector.repair.tuning import Effort, Lesson, joined, taught

REALIGNED = Effort(250, 32)
MOST_CARRIERS = 500
"""Pictures that every trigger is laid on."""


@dataclass(frozen=True)
class ReAlignment:
    """By true labels where there are some."""

    effort: Effort = REALIGNED
    name: str = "re-alignment"
    keeps_weights: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        clean = case.trusted if case.labelled is None else by_labels(case)
        if not len(clean):
            raise CannotRepair("there are no pictures whose answers can be trusted")
        generator = torch.Generator().manual_seed(case.seed)
        clean = clean.some(MOST_CARRIERS, generator)
        lesson = joined(case.delivered, _both(case, clean), 2 * len(case.triggers), generator)
        recipe = self.effort.recipe(len(lesson))
        return taught(case.delivered, case.delivered.learned, lesson, recipe, generator)


def _both(case: Case, clean: Lesson) -> Iterator[Lesson]:
    """The pictures under each trigger, and as often without."""
    for trigger in case.triggers:
        yield clean
        yield Lesson.of(case.classifier, trigger(clean.shown), clean.targets)
