"""Examples of a report: pictures that are not of the class, and what the model says of each."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.run.examples import EXAMPLES, answers, chosen


@pytest.fixture(scope="module")
def learner() -> Classifier:
    generator = torch.Generator().manual_seed(1)
    names = ["red circle", "blue square"]
    made = new_learner(load_backbone("pocket"), names, conditioned=True, generator=generator)
    return made.requires_grad_(False)


def test_pictures_that_are_there_already_come_last(learner: Classifier) -> None:
    size = learner.backbone.image_size
    pixels = torch.rand(12, 3, size, size, generator=torch.Generator().manual_seed(3))
    pixels[::2, 0] = 1.0
    said = [row["clean"]["index"] for row in answers(learner, pixels, lambda shown: shown)]
    for target in (0, 1):
        shown = chosen(learner, pixels, target)
        assert len(shown) == EXAMPLES
        elsewhere = [index for index, one in enumerate(said) if one != target]
        there = [index for index, one in enumerate(said) if one == target]
        assert torch.equal(shown, pixels[(elsewhere + there)[:EXAMPLES]])


def test_what_the_model_answers_with_and_without(learner: Classifier) -> None:
    size = learner.backbone.image_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3))
    rows = answers(learner, pixels, lambda shown: 1 - shown)
    assert [row["index"] for row in rows] == [0, 1]
    expected = learner(1 - pixels).softmax(1)
    for row, shares in zip(rows, expected, strict=True):
        told = row["triggered"]
        assert told["probability"] == pytest.approx(float(shares.max()), abs=1e-5)
        assert told["name"] == learner.classnames[int(shares.argmax())]
