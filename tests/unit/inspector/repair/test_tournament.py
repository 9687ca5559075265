"""The order of copies: bars that could be measured, then whose weights they hold, then their worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.repair.acceptance import (
    LARGEST_LOSS,
    LEAST_AGREEMENT,
    RESIDUAL_EXCESS_ASR,
    Accuracy,
    Judged,
)
from inspector.repair.encoders.choosing import strategies_for
from inspector.repair.tournament import Candidate
from inspector.run.repair_check import STRATEGIES

ALIKE = Judged(0.0, 0.0, accuracy=None, agreement=0.95, is_of_task=True)
SURE = replace(ALIKE, agreement=1.0)
OTHER = replace(ALIKE, agreement=LEAST_AGREEMENT - 0.001)
ANSWERING = replace(SURE, excess_asr=RESIDUAL_EXCESS_ASR)
MOVED = replace(SURE, random_gain=RESIDUAL_EXCESS_ASR)


@pytest.fixture(scope="module")
def classifier(vit: Backbone) -> Classifier:
    return new_learner(vit, ["cat", "dog"], conditioned=False, generator=torch.Generator())


def labelled(after: float, judged: Judged = ALIKE) -> Judged:
    """Right on so many of 100 pictures, of which the delivered model is right on 90."""
    lost = max(0, round(90 - 100 * after))
    return replace(judged, accuracy=Accuracy(0.9, after, lost, pictures=100, covers_all=True))


def of_no_task(judged: Judged) -> Judged:
    return replace(judged, is_of_task=False)


ORDERS: dict[str, tuple[Judged, Judged]] = {
    "agreement is within its bar, and more of it is no merit": (ALIKE, SURE),
    "a little is left, within the bar": (replace(ALIKE, excess_asr=0.09), SURE),
    "pictures of the task: both are over some bar": (OTHER, ANSWERING),
    "labels: a loss within the bar, though the other is more often right": (
        labelled(0.9 - LARGEST_LOSS + 0.001), labelled(1.0),
    ),
    "labels say more than agreement": (labelled(0.9, OTHER), labelled(1.0, SURE)),
    "built-in pictures: agreement has no bar": (of_no_task(OTHER), of_no_task(SURE)),
    "built-in pictures and labels": (of_no_task(labelled(0.88)), of_no_task(labelled(0.99))),
}  # fmt: skip
"""A copy of nothing of the vendor's weights, and one that holds some, which stands behind it."""


@pytest.mark.parametrize("case", ORDERS)
def test_a_copy_that_holds_no_weights_comes_first(case: str, classifier: Classifier) -> None:
    anew, kept = ORDERS[case]
    assert ranked(classifier, kept=kept, anew=anew) == ["anew", "kept"]


OVER: dict[str, tuple[Judged, Judged]] = {
    "pictures of the task: another model": (OTHER, ALIKE),
    "labels: too much is lost": (labelled(0.9 - LARGEST_LOSS - 0.001), labelled(0.88)),
    "few labels that say so": (
        replace(ALIKE, accuracy=Accuracy(0.9, 0.5, 4, pictures=10, covers_all=False)), ALIKE,
    ),
    "few labels, and another model": (
        replace(OTHER, accuracy=Accuracy(0.9, 0.9, 0, pictures=10, covers_all=True)), ALIKE,
    ),
    "the trigger that was found": (ANSWERING, ALIKE),
    "random triggers": (MOVED, ALIKE),
    "built-in pictures: the residual": (of_no_task(ANSWERING), of_no_task(OTHER)),
}  # fmt: skip
"""A copy of nothing of the vendor's weights that is over a bar, and one that holds some."""


@pytest.mark.parametrize("case", OVER)
def test_it_stands_behind_where_it_is_over_a_bar(case: str, classifier: Classifier) -> None:
    anew, kept = OVER[case]
    assert ranked(classifier, anew=anew, kept=kept) == ["kept", "anew"]
    assert not anew.is_within_bars and kept.is_within_bars


WORTHS = [
    (SURE, ALIKE),
    (ALIKE, replace(SURE, excess_asr=0.06)),
    (ALIKE, replace(SURE, random_gain=0.06)),
    (labelled(0.95, ALIKE), labelled(0.94, SURE)),
    (of_no_task(SURE), of_no_task(OTHER)),
]


@pytest.mark.parametrize("keeps_weights", [False, True])
@pytest.mark.parametrize(("better", "worse"), WORTHS)
def test_of_equals_what_is_right_less_the_residual_decides(
    better: Judged, worse: Judged, keeps_weights: bool, classifier: Classifier
) -> None:
    copies = [
        Candidate(name, keeps_weights, {}, classifier, judged)
        for name, judged in (("worse", worse), ("better", better))
    ]
    assert [one.strategy for one in sorted(copies, key=lambda one: one.rank)] == ["better", "worse"]


def test_random_triggers_alone_fail_nobody() -> None:
    """They move honest prompts, too; the word rests on the trigger that was found and on a search."""
    assert not MOVED.is_failed and ANSWERING.is_failed


def test_who_holds_no_weights_is_known(vit: Backbone) -> None:
    anew = {one.name for one in STRATEGIES if not one.keeps_weights}
    taught = (
        "labels",
        "answers",
        "answers, plain",
        "answers and labels",
        "answers and labels, plain",
    )
    assert anew == {f"re-derivation by {said}" for said in taught}
    of_encoders = {one.name for one in strategies_for(vit) if not one.keeps_weights}
    assert of_encoders == {"restoring the reference encoders"}


def ranked(classifier: Classifier, **copies: Judged) -> list[str]:
    """Names of copies in their order; "kept" holds weights of the vendor's."""
    candidates = [
        Candidate(name, name == "kept", {}, classifier, judged) for name, judged in copies.items()
    ]
    return [one.strategy for one in sorted(candidates, key=lambda one: one.rank)]
