"""Re-derivation: tune a prompt of the delivered one's kind anew, from trusted words.

What comes out has nothing of the vendor's weights but what its labels carry. It needs no trigger,
and is therefore what can be offered where a backdoor cannot be detected at all. True labels carry
nothing; pseudo-labels of a poisoned prompt may carry some of the backdoor and are filtered
(`filtering`). That a poisoned model's hard labels on clean pictures pass little of a backdoor on is
what distillation defences rest on (Li et al., ICLR 2021; Pang et al., CVPR 2023). Experiment 54.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.zero_shot import ZeroShot
from inspector.repair.copies import canonical
from inspector.repair.filtering import trusted_rows
from inspector.repair.strategy import CannotRepair, Case
from inspector.twins.answers import Answers
from inspector.twins.prompt import DELIVERED, Effort, twin_like

FEWEST_CLASSES = 2
"""Of which there must be pictures to learn from; one class alone teaches nothing."""


@dataclass(frozen=True)
class ByLabels:
    """From the true labels of a few pictures."""

    effort: Effort = DELIVERED
    name: str = "re-derivation by labels"

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        if case.labelled is None:
            raise CannotRepair("no labelled pictures were given")
        return _taught(case, case.labelled, self.effort)


@dataclass(frozen=True)
class ByAnswers:
    """From what the delivered classifier says of unlabelled pictures, as far as that is trusted."""

    effort: Effort = DELIVERED
    name: str = "re-derivation by answers"

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        features = encoded(case.classifier, case.pictures)
        own = case.classifier.logits_from_features(features)
        zero_shot = ZeroShot.of(case.classifier).logits_of_many(case.pictures, features)
        rows = trusted_rows(own, zero_shot, {case.target})
        return _taught(case, Answers.of(features, own).chosen(rows), self.effort)


def _taught(case: Case, answers: Answers, effort: Effort) -> dict[str, Tensor]:
    present = len(answers.labels.unique())
    if present < FEWEST_CLASSES:
        raise CannotRepair(f"there are pictures of {present} classes to learn from")
    twin = twin_like(case.classifier, answers, case.seed, effort)
    case.classifier.work += twin.work
    return canonical(twin)
