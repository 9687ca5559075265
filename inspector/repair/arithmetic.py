"""Unlearning by task arithmetic: subtract what a copy learns by answering triggers with the target.

After TBAR (arXiv 2510.14845): a copy is tuned on triggered pictures under the attacker's label; the
difference of its weights to the delivered ones is the backdoor's direction, and a multiple of it is
taken away (Ilharco et al., ICLR 2023). Here it is taken of all that a prompt method learns, by the
triggers that were reconstructed. The multiple is the largest with which clean pictures that carried
none are answered as before, as far as these answers are trusted: what a poisoned prompt gives to
its target without a reason ought to change. That the carriers also keep their answers without a
trigger while the copy is tuned, was tried on the prompts of the tests, and leaves more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.learned import Values
from inspector.repair.strategy import CannotRepair, Case
from inspector.repair.tuning import Effort, Lesson, answers_of, taught

PLANTED = Effort(40, 32)
MULTIPLES = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
LEAST_KEPT = 0.95
"""Share of clean pictures that are answered as before."""


@dataclass(frozen=True)
class TaskArithmetic:
    """Of all reconstructed triggers at once."""

    effort: Effort = PLANTED
    name: str = "task arithmetic"

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        trusted, delivered = case.trusted, case.delivered
        place = torch.arange(len(trusted), device=trusted.targets.device)
        carriers = trusted.chosen((place % 2 == 0) & (trusted.targets != case.target))
        choosing = trusted.chosen(place % 2 == 1)
        if not len(carriers) or not len(choosing):
            raise CannotRepair("there are no pictures to lay a trigger on")
        planted = self._planted(case, carriers)
        for multiple in MULTIPLES:
            values = _less(delivered.learned, planted, multiple)
            kept = answers_of(delivered, values, choosing) == choosing.targets
            if kept.float().mean() >= LEAST_KEPT:
                return values
        raise CannotRepair("clean pictures are answered otherwise without the trigger's direction")

    def _planted(self, case: Case, carriers: Lesson) -> dict[str, Tensor]:
        """What a copy learns that gives the carriers to the target where they bear a trigger."""
        to_target = torch.full_like(carriers.targets, case.target)
        lesson = Lesson.joined(
            [
                Lesson.of(case.classifier, trigger(carriers.pixels), to_target)
                for trigger in case.triggers
            ]
        )
        generator = torch.Generator().manual_seed(case.seed)
        recipe = self.effort.recipe(len(lesson))
        return taught(case.delivered, case.delivered.learned, lesson, recipe, generator)


def _less(delivered: Values, planted: Values, multiple: float) -> dict[str, Tensor]:
    """The delivered values less a multiple of what the planted ones are beyond them."""
    return {name: value - multiple * (planted[name] - value) for name, value in delivered.items()}
