"""Honest models differ in what they were tuned on, and are the same for the same diet."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.detection.random_triggers import drawn
from inspector.errors import NumericalError
from inspector.reference import benign_models
from inspector.reference.benign_models import Diet, Kitchen, _balanced, diet

NAMES = ["cat", "dog", "red car"]
PLAIN = Diet(
    seed=2**33, share=1.0, noise=0.0, rarest=1.0, disturbed=0.0, family=0, member=0,
    is_relabelled=False, rate=0.1, updates=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def pixels(vit: Backbone) -> Tensor:
    size = vit.image_size
    return torch.rand(80, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def kitchen(vit: Backbone, pixels: Tensor) -> Kitchen:
    return Kitchen(vit, NAMES, pixels, conditioned=True)


def tuned(kitchen: Kitchen, of: Diet) -> Tensor:
    """The weights of a model, in one row."""
    model, _ = kitchen.model(of, lambda seed: drawn(16, seed))
    assert not any(p.requires_grad for p in model.parameters())
    return torch.cat([p.flatten() for p in model.parameters()])


def lesson(kitchen: Kitchen, of: Diet) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(of.seed)
    return kitchen._lesson(of, lambda seed: drawn(16, seed), generator)


def test_diets_are_drawn_for_a_seed_and_a_number() -> None:
    first = [diet(0, index) for index in range(60)]
    assert first == [diet(0, index) for index in range(60)]
    assert len({one.seed for one in first}) == 60
    assert not {one.seed for one in first} & {diet(1, index).seed for index in range(60)}
    for name in ("share", "noise", "rarest", "disturbed", "rate", "updates", "is_relabelled"):
        assert len({getattr(one, name) for one in first}) in (2, 3)
    # No inspection draws its stock triggers from such a seed.
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
    changes: dict[str, float], kitchen: Kitchen
) -> None:
    plain = tuned(kitchen, PLAIN)
    assert torch.equal(plain, tuned(kitchen, PLAIN))
    assert not torch.equal(plain, tuned(kitchen, replace(PLAIN, **changes)))  # type: ignore[arg-type]


def test_lessons_are_what_the_diet_says(kitchen: Kitchen) -> None:
    features, labels = lesson(kitchen, PLAIN)
    assert features.shape[0] == labels.shape[0] == 80
    assert len(lesson(kitchen, replace(PLAIN, share=0.5))[1]) == 40
    _, noisy = lesson(kitchen, replace(PLAIN, noise=0.2))
    assert 0 < int((noisy != labels).sum()) <= 16
    disturbed, same = lesson(kitchen, replace(PLAIN, disturbed=0.3))
    assert torch.equal(same, labels)
    assert int((disturbed != features).any(1).sum()) == 24
    _, other = lesson(kitchen, replace(PLAIN, disturbed=0.3, is_relabelled=True))
    assert 0 < int((other != labels).sum()) <= 24


def test_disturbances_follow_family_and_member(kitchen: Kitchen) -> None:
    seen = [
        lesson(kitchen, replace(PLAIN, disturbed=0.3, family=family, member=member))[0]
        for family, member in ((0, 0), (0, 1), (1, 0))
    ]
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_classes_are_drawn_alike_or_falling(vit: Backbone, pixels: Tensor) -> None:
    kitchen = Kitchen(vit, NAMES, pixels, conditioned=False)
    present = kitchen._labels.unique()
    assert len(present) >= 2
    for rarest, spread in ((1.0, 1.0), (0.1, 0.1)):
        weights = kitchen._weights(rarest, torch.Generator().manual_seed(0))
        shares = torch.zeros(3).index_add_(0, kitchen._labels, weights)[present]
        if len(present) == 3:
            assert shares.min() / shares.max() == pytest.approx(spread, rel=1e-4)
        else:
            assert spread <= shares.min() / shares.max() <= 1


def test_random_labels_favour_no_class() -> None:
    counts = torch.bincount(_balanced(47, 5, torch.Generator().manual_seed(0)), minlength=5)
    assert sorted(counts.tolist()) == [9, 9, 9, 10, 10]


def test_static_prompts_have_no_meta_net(vit: Backbone, pixels: Tensor) -> None:
    model, _ = Kitchen(vit, NAMES, pixels, conditioned=False).model(PLAIN, lambda s: drawn(16, s))
    assert not model.is_instance_conditioned


def test_a_model_that_diverges_is_tuned_more_slowly_or_told(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benign_models, "_TRIES", 20)
    _, fed = kitchen.model(replace(PLAIN, rate=1e12), lambda s: drawn(16, s))
    assert fed.rate < 1e12
    with pytest.raises(NumericalError, match="honest model"):
        kitchen.model(replace(PLAIN, rate=float("nan")), lambda s: drawn(16, s))
