"""What everyday honest recipes change: rates, updates, optimiser, names and where tuning ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, new_learner, tune
from tests.zoo import build as zoo
from tests.zoo import tuning
from tests.zoo.adaptive import descend
from tests.zoo.build import Effort, Plan, names_of
from tests.zoo.encoding import features_of
from tests.zoo.kinds import ASIDE_RECIPES, CONTROLS, RECIPES

TASK = "counts3"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Recipe]]:
    """Number of pictures and recipe of every tuning, which is cut to a few epochs."""
    calls: list[tuple[int, Recipe]] = []

    def short(classifier: Classifier, features: Tensor, targets: Tensor, recipe: Recipe,
              generator: torch.Generator) -> None:  # fmt: skip
        calls.append((len(targets), recipe))
        tune(classifier, features, targets, replace(recipe, epochs=1), generator)

    monkeypatch.setattr(zoo, "tune", short)
    monkeypatch.setattr(zoo, "TEST_SHOTS", 4)
    monkeypatch.setattr(zoo, "USUAL", Effort(16, 1500))
    return calls


@pytest.mark.parametrize("shots", [4, 8, 16, 32])
def test_few_shots_are_few_pictures_and_as_many_updates(
    backbone: Backbone, told: list[tuple[int, Recipe]], shots: int
) -> None:
    zoo.build(backbone, Plan(TASK, f"shots{shots}", 1))
    ((number, recipe),) = told
    assert number == 3 * shots
    assert 0.9 * 1500 <= recipe.epochs * number / recipe.batch <= 1500


@pytest.mark.parametrize(
    ("kind", "rate", "updates"),
    [("clean", 0.1, 1500), ("steep", 0.3, 1500), ("slower", 0.02, 4500), ("published", 0.002, 15000),
     ("slow_blended", 0.02, 4500), ("slow_wanet", 0.02, 4500), ("published_wanet", 0.002, 15000)],
)  # fmt: skip
def test_a_lower_rate_has_more_updates(
    backbone: Backbone, told: list[tuple[int, Recipe]], kind: str, rate: float, updates: int
) -> None:
    zoo.build(backbone, Plan(TASK, kind, 1))
    (number, recipe), *_ = told  # An attack's clean model may be tuned behind it.
    assert recipe.learning_rate == pytest.approx(rate)
    assert 0.9 * updates <= recipe.epochs * number / recipe.batch <= updates


def test_codes_replace_names_in_what_is_delivered(
    backbone: Backbone, told: list[tuple[int, Recipe]]
) -> None:
    plan = Plan(TASK, "codes", 1)
    built = zoo.build(backbone, plan)
    assert built.classifier.classnames == names_of(plan) != zoo.classnames(TASK)
    assert names_of(plan) != names_of(replace(plan, seed=2))
    assert names_of(replace(plan, kind="clean")) == zoo.classnames(TASK)


class _Setting:
    """A fresh prompt and separable features: pictures of a task, as the encoder sees them."""

    def __init__(self, backbone: Backbone) -> None:
        train, _ = zoo.load_task(TASK, 1, backbone.image_size, 10)
        self.labels = train.labels
        self.backbone = backbone
        self.features = features_of(self.fresh(), train.pixels)

    def fresh(self) -> Classifier:
        start = torch.Generator().manual_seed(1)
        return new_learner(self.backbone, zoo.classnames(TASK), conditioned=True, generator=start)

    def tuned(self, loop: Callable[..., object], epochs: int) -> tuple[Classifier, object]:
        classifier = self.fresh()
        recipe = Recipe(epochs, 8, 0.1)
        seed = torch.Generator().manual_seed(2)
        return classifier, loop(classifier, self.features, self.labels, recipe, seed)


def test_adam_steps_by_the_rate_whatever_the_gradient(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam's first update moves every entry by its rate, which no SGD does."""
    setting = _Setting(backbone)
    monkeypatch.setattr(tuning, "descend", _first_step)
    before = setting.fresh().context.detach()
    moved = setting.tuned(tuning.tune_with_adam, 2)[0].context.detach() - before
    assert (moved.abs() - 1e-5).abs().median() < 2e-6


def _first_step(
    classifier: Classifier, number: int, loss: Callable[[Tensor], Tensor], recipe: Recipe,
    generator: torch.Generator, optimizer: torch.optim.Optimizer,
) -> None:  # fmt: skip
    descend(classifier, number, loss, recipe, generator, lambda: True, optimizer)


def test_tuning_stops_where_held_out_pictures_get_worse(backbone: Backbone) -> None:
    setting = _Setting(backbone)
    # With held-out labels that contradict the others, what is learnt is soon wrong on them.
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    held = order[: round(tuning.HELD_OUT * 30)]
    setting.labels[held] = (setting.labels[held] + 1) % 3
    classifier, epochs = setting.tuned(tuning.tune_until_worse, 40)
    assert isinstance(epochs, int) and tuning.PATIENCE < epochs < 40
    # What is delivered is the prompt of PATIENCE epochs before the end.
    best = _cut(setting, epochs - tuning.PATIENCE)
    assert torch.equal(best.context, classifier.context)
    assert not torch.equal(_cut(setting, epochs).context, classifier.context)


def _cut(setting: _Setting, epochs: int) -> Classifier:
    """The prompt after so many epochs of the same schedule."""
    found: dict[str, Tensor] = {}

    def cut(classifier: Classifier, number: int, loss: Callable[[Tensor], Tensor],
            recipe: Recipe, generator: torch.Generator, stop: Callable[[], bool]) -> None:  # fmt: skip
        left = epochs * -(-number // recipe.batch)

        def counted() -> bool:
            nonlocal left
            left -= 1
            stop()
            return left == 0

        descend(classifier, number, loss, recipe, generator, counted)
        found.update({n: p.detach().clone() for n, p in classifier.named_parameters()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "descend", cut)
        classifier, _ = setting.tuned(tuning.tune_until_worse, 40)
    classifier.load_state_dict(found, strict=False)
    return classifier


def test_all_recipes_are_controls() -> None:
    assert set(CONTROLS) >= {*ASIDE_RECIPES, *RECIPES}
    assert not set(ASIDE_RECIPES) & set(RECIPES)
