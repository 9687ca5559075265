"""What random triggers carry: leads beyond chance, the largest families, shares of the probes."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.excess import HeldOut
from inspector.detection.random_reading import (
    LEADING,
    RandomReading,
    beyond_chance,
    encoded_by_random,
    read_random,
)
from inspector.detection.random_triggers import SHARES
from inspector.detection.references import References
from inspector.progress import Meter


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    generator = torch.Generator().manual_seed(1)
    backbone = load_backbone("pocket")
    names = ["red circle", "blue square", "green ring"]
    made = new_learner(backbone, names, conditioned=True, generator=generator)
    learner: Classifier = made.requires_grad_(False)
    shown = torch.rand(24, 3, 48, 48, generator=torch.Generator().manual_seed(3))
    return HeldOut.of(learner, References.of(learner, shown[:12]), shown[12:])


def silent() -> Meter:
    return Meter(lambda _: None, None)


def test_what_is_strewn_evenly_leads_nowhere() -> None:
    strewn, gathered = beyond_chance(torch.tensor([[0.2, 0.2, 0.2], [0.6, 0.1, 0.0]]))
    assert strewn.tolist() == pytest.approx([-0.2] * 3)
    assert gathered.tolist() == pytest.approx(
        [0.5 - 0.7 / 3, -0.5 - 0.7 / 3, -0.6 - 0.7 / 3], abs=1e-6
    )


def test_the_triggers_that_lead_most_count_whatever_their_family() -> None:
    def to_the_first(*shares: float) -> torch.Tensor:
        return torch.tensor([[share, 0.0] for share in shares])

    reading = RandomReading(
        {"warp": to_the_first(0.1, 0.4, 0.0), "film": to_the_first(0.5, 0.3, 0.2, 0.0)}
    )
    assert LEADING == 5
    assert reading.value(0) == pytest.approx((0.5 + 0.4 + 0.3 + 0.2 + 0.1) / 5 / 2)
    assert RandomReading({}).value(0) == 0.0


def test_a_seed_draws_the_same_and_another_one_others(held_out: HeldOut) -> None:
    first, again, other = (read_random(held_out, seed, silent()) for seed in (1, 1, 2))
    assert set(first.carried) == set(SHARES)
    assert all(torch.equal(first.carried[name], again.carried[name]) for name in SHARES)
    assert any(not torch.equal(first.carried[name], other.carried[name]) for name in SHARES)


def test_a_classifier_that_follows_its_twins_is_carried_nowhere(held_out: HeldOut) -> None:
    class Twin:
        """Answers as the first twin does."""

        classnames = held_out.classifier.classnames
        backbone = held_out.classifier.backbone
        image_features = staticmethod(held_out.classifier.image_features)
        logits_from_features = staticmethod(held_out.references.searched.logits)

    twin = HeldOut.of(Twin(), held_out.references, held_out.pixels)  # type: ignore[arg-type]
    reading = read_random(twin, 1, silent())
    assert all(carried.sum() == 0 for carried in reading.carried.values())


def test_the_pictures_are_as_many_as_was_said(held_out: HeldOut) -> None:
    before = held_out.classifier.work.image_forward
    read_random(held_out, 1, silent())
    assert held_out.classifier.work.image_forward - before == encoded_by_random(12)


def test_where_the_time_runs_out_what_was_read_stays(held_out: HeldOut) -> None:
    reading = read_random(held_out, 1, Meter(lambda _: None, 0.0))
    assert reading.carried == {} and reading.value(1) == 0.0
