"""Honest models differ in what they were tuned on, and are the same for the same diet."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.detection.random_triggers import draw
from inspector.errors import NumericalError
from inspector.reference import benign_models
from inspector.reference.benign_models import (
    BenignModelFactory,
    TrainingVariation,
    _balanced,
    variation,
)

NAMES = ["cat", "dog", "red car"]
PLAIN = TrainingVariation(
    seed=2**33, share=1.0, noise=0.0, rarest=1.0, disturbed=0.0, family=0, member=0,
    is_relabelled=False, rate=0.1, updates=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def pixels(vit: Backbone) -> Tensor:
    size = vit.image_size
    return torch.rand(80, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def factory(vit: Backbone, pixels: Tensor) -> BenignModelFactory:
    return BenignModelFactory(vit, NAMES, pixels, conditioned=True)


def tuned(factory: BenignModelFactory, of: TrainingVariation) -> Tensor:
    """The weights of a model, in one row."""
    model, _ = factory.build(of, lambda seed: draw(16, seed))
    assert not any(p.requires_grad for p in model.parameters())
    return torch.cat([p.flatten() for p in model.parameters()])


def training(factory: BenignModelFactory, of: TrainingVariation) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(of.seed)
    return factory._training_set(of, lambda seed: draw(16, seed), generator)


def test_diets_are_drawn_for_a_seed_and_a_number() -> None:
    first = [variation(0, index) for index in range(60)]
    assert first == [variation(0, index) for index in range(60)]
    assert len({one.seed for one in first}) == 60
    assert not {one.seed for one in first} & {variation(1, index).seed for index in range(60)}
    for name in ("share", "noise", "rarest", "disturbed", "rate", "updates", "is_relabelled"):
        assert len({getattr(one, name) for one in first}) in (2, 3)
    # No inspection draws its random triggers from such a seed.
    assert min(one.seed for one in first) >= 2**32


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2**33 + 1},
        {"share": 0.5},
        {"noise": 0.2},
        {"rarest": 0.1},
        {"disturbed": 0.3},
        {"rate": 0.3},
        {"updates": 80},
    ],
)
def test_whatever_differs_in_the_diet_differs_in_the_model(
    changes: dict[str, float], factory: BenignModelFactory
) -> None:
    plain = tuned(factory, PLAIN)
    assert torch.equal(plain, tuned(factory, PLAIN))
    assert not torch.equal(plain, tuned(factory, replace(PLAIN, **changes)))  # type: ignore[arg-type]


def test_training_sets_are_what_the_diet_says(factory: BenignModelFactory) -> None:
    features, labels = training(factory, PLAIN)
    assert features.shape[0] == labels.shape[0] == 80
    assert len(training(factory, replace(PLAIN, share=0.5))[1]) == 40
    _, noisy = training(factory, replace(PLAIN, noise=0.2))
    assert 0 < int((noisy != labels).sum()) <= 16
    disturbed, same = training(factory, replace(PLAIN, disturbed=0.3))
    assert torch.equal(same, labels)
    assert int((disturbed != features).any(1).sum()) == 24
    _, other = training(factory, replace(PLAIN, disturbed=0.3, is_relabelled=True))
    assert 0 < int((other != labels).sum()) <= 24


def test_disturbances_follow_family_and_member(factory: BenignModelFactory) -> None:
    seen = [
        training(factory, replace(PLAIN, disturbed=0.3, family=family, member=member))[0]
        for family, member in ((0, 0), (0, 1), (1, 0))
    ]
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_classes_are_drawn_alike_or_falling(vit: Backbone, pixels: Tensor) -> None:
    factory = BenignModelFactory(vit, NAMES, pixels, conditioned=False)
    present = factory._labels.unique()
    assert len(present) >= 2
    for rarest, spread in ((1.0, 1.0), (0.1, 0.1)):
        weights = factory._weights(rarest, torch.Generator().manual_seed(0))
        shares = torch.zeros(3).index_add_(0, factory._labels, weights)[present]
        if len(present) == 3:
            assert shares.min() / shares.max() == pytest.approx(spread, rel=1e-4)
        else:
            assert spread <= shares.min() / shares.max() <= 1


def test_random_labels_favour_no_class() -> None:
    counts = torch.bincount(_balanced(47, 5, torch.Generator().manual_seed(0)), minlength=5)
    assert sorted(counts.tolist()) == [9, 9, 9, 10, 10]


def test_static_prompts_have_no_meta_net(vit: Backbone, pixels: Tensor) -> None:
    model, _ = BenignModelFactory(vit, NAMES, pixels, conditioned=False).build(
        PLAIN, lambda s: draw(16, s)
    )
    assert not model.is_instance_conditioned


def test_a_model_that_diverges_is_tuned_more_slowly_or_told(
    factory: BenignModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benign_models, "_TRIES", 20)
    _, used = factory.build(replace(PLAIN, rate=1e12), lambda s: draw(16, s))
    assert used.rate < 1e12
    with pytest.raises(NumericalError, match="honest model"):
        factory.build(replace(PLAIN, rate=float("nan")), lambda s: draw(16, s))
