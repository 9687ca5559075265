"""The search among image features, on a tiny random backbone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.detection.effects import CleanBaseline, encode_clean
from inspector.detection.objectives import PromptMargin
from inspector.detection.pools import Pools
from inspector.errors import NumericalError
from tests.support.backbones import write_backbone
from tests.support.planted import NAMES, blobs, learner, planted
from tests.zoo.displacements import JUDGES, LENGTH, carried, displacement


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(str(write_backbone(tmp_path_factory.mktemp("backbone") / "vit")))


@pytest.fixture
def pools(vit: Backbone) -> Pools:
    return blobs(vit)


@dataclass(frozen=True)
class Start:
    """What is known before the search."""

    objective: PromptMargin
    baseline: CleanBaseline


def started(classifier: Classifier, pools: Pools) -> Start:
    classifier.requires_grad_(False)
    objective = PromptMargin.prepare(classifier, pools.optimisation)
    return Start(objective, encode_clean(classifier, pools.held_out))


def shares(classifier: Classifier, start: Start) -> list[float]:
    return [
        carried(
            classifier,
            start.baseline,
            target,
            displacement(start.objective, target, torch.Generator().manual_seed(0)),
        )
        for target in range(len(NAMES))
    ]


def test_a_planted_displacement_is_found_for_its_class_and_no_other(
    vit: Backbone, pools: Pools
) -> None:
    classifier, target = planted(vit, pools)
    found = shares(classifier, started(classifier, pools))
    assert found[target] > 0.5
    assert found[target] > 0.3 + max(share for i, share in enumerate(found) if i != target)


def test_an_untaught_prompt_answers_no_displacement(vit: Backbone, pools: Pools) -> None:
    classifier = learner(vit)
    assert max(shares(classifier, started(classifier, pools))) < 0.3


def test_the_displacement_stays_in_its_ball_and_repeats(vit: Backbone, pools: Pools) -> None:
    classifier = learner(vit)
    start = started(classifier, pools)
    before = classifier.work.image_forward
    found, again, other = (
        displacement(start.objective, 1, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    longest = LENGTH * torch.pdist(start.objective.anchors.features).mean()
    assert torch.equal(found, again) and not torch.equal(found, other)
    assert 0.9 * longest <= found.norm() <= 1.0001 * longest
    assert classifier.work.image_forward == before  # It needs no picture.


def test_pairs_count_that_are_not_at_the_class_anyway(vit: Backbone, pools: Pools) -> None:
    classifier, target = planted(vit, pools)
    baseline = started(classifier, pools).baseline
    found = torch.randn(classifier.backbone.embed_dim, generator=torch.Generator().manual_seed(2))
    elsewhere = hits = 0
    for reader in baseline.features[:JUDGES]:
        moved = functional.normalize(reader + found, dim=-1)
        for feature in baseline.features:
            was, now = (
                int(classifier.logits_from_features(feature[None], condition=read[None]).argmax())
                for read in (reader, moved)
            )
            elsewhere += was != target
            hits += was != target and now == target
    assert elsewhere > 0
    assert carried(classifier, baseline, target, found) == pytest.approx(hits / elsewhere, abs=0.01)


def test_infinite_weights_are_named(vit: Backbone, pools: Pools) -> None:
    classifier = learner(vit)
    start = started(classifier, pools)
    assert classifier.meta_net is not None
    classifier.meta_net.linear2.bias.data[0] = float("nan")
    with pytest.raises(NumericalError, match="class 1"):
        displacement(start.objective, 1, torch.Generator())
