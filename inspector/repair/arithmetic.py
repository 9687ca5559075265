"""Unlearning by task arithmetic: subtract what a copy learns by answering triggers with the target.

After TBAR (arXiv 2510.14845): a copy is tuned on triggered pictures under the attacker's label; the
difference of its weights to the delivered ones is the backdoor's direction, and a multiple of it is
taken away (Ilharco et al., ICLR 2023). Here it is taken of all that a prompt method learns, by the
triggers that were reconstructed. Of the multiples with which clean pictures are answered as before,
as far as these answers are trusted, that is chosen with which the triggers carry least, the smaller
of equals; the pictures that choose carried no trigger while the copy was tuned. What a poisoned
prompt gives to its target without a reason is not trusted, and may change. That carriers also keep
their answers without a trigger while the copy is tuned, was tried on the prompts of the tests, and
leaves more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.learned import Values
from inspector.repair.realign import MOST_CARRIERS
from inspector.repair.strategy import CannotRepair, Case
from inspector.repair.tuning import Effort, Lesson, answers_of, joined, taught

PLANTED = Effort(40, 32)
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
LEAST_KEPT = 0.98
"""Share of clean pictures that are answered as before."""
MOST_CHOOSING = 200
"""Pictures that choose the multiple, and the least by which a larger one must carry fewer."""
_NOTICEABLE = 0.005


@dataclass(frozen=True)
class TaskArithmetic:
    """Of all reconstructed triggers at once."""

    effort: Effort = PLANTED
    name: str = "task arithmetic"
    keeps_weights: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        trusted, delivered = case.trusted, case.delivered
        place = torch.arange(len(trusted), device=trusted.targets.device)
        carriers = trusted.chosen((place % 2 == 0) & (trusted.targets != case.target))
        choosing = trusted.chosen(place % 2 == 1)
        if not len(carriers) or not len(choosing):
            raise CannotRepair("there are no pictures to lay a trigger on")
        generator = torch.Generator().manual_seed(case.seed)
        choosing = choosing.some(MOST_CHOOSING, generator)
        planted = self._planted(case, carriers, generator)
        best = _Multiples(case, choosing).best(delivered.learned, planted)
        if best is None:
            raise CannotRepair("without the triggers' direction clean pictures are not kept")
        return best

    def _planted(
        self, case: Case, carriers: Lesson, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What a copy learns that gives the carriers to the target where they bear a trigger."""
        carriers = carriers.some(MOST_CARRIERS, generator)
        to_target = torch.full_like(carriers.targets, case.target)
        triggered = (
            Lesson.of(case.classifier, trigger(carriers.shown), to_target)
            for trigger in case.triggers
        )
        lesson = joined(case.delivered, triggered, len(case.triggers), generator)
        recipe = self.effort.recipe(len(lesson))
        return taught(case.delivered, case.delivered.learned, lesson, recipe, generator)


class _Multiples:
    """What a multiple leaves of clean answers, and of the triggers."""

    def __init__(self, case: Case, choosing: Lesson) -> None:
        self._case, self._clean = case, choosing
        elsewhere = choosing.chosen(choosing.targets != case.target)
        self._triggered = [
            Lesson.of(case.classifier, trigger(elsewhere.shown), elsewhere.targets)
            for trigger in (case.triggers if len(elsewhere) else ())
        ]

    def best(self, delivered: Values, planted: Values) -> dict[str, Tensor] | None:
        least, best = float("inf"), None
        for multiple in MULTIPLES:
            values = _less(delivered, planted, multiple)
            if self._share(values, self._clean, self._clean.targets) < LEAST_KEPT:
                continue
            carried = sum(self._carried(values, one) for one in self._triggered)
            if carried < least - _NOTICEABLE * len(self._triggered):
                least, best = carried, values
        return best

    def _carried(self, values: Values, lesson: Lesson) -> float:
        target = torch.full_like(lesson.targets, self._case.target)
        return self._share(values, lesson, target)

    def _share(self, values: Values, lesson: Lesson, wanted: Tensor) -> float:
        said = answers_of(self._case.delivered, values, lesson)
        return (said == wanted).float().mean().item()


def _less(delivered: Values, planted: Values, multiple: float) -> dict[str, Tensor]:
    """The delivered values less a multiple of what the planted ones are beyond them."""
    return {name: value - multiple * (planted[name] - value) for name, value in delivered.items()}
