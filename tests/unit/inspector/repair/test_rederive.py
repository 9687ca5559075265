"""Prompts tuned anew: the attacker's own trigger, which nothing here is told of, has no power over them,
an honest model loses nothing, and nothing of the delivered values is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier, MetaNet
from inspector.clip.learned import Delivered
from inspector.clip.prompt_tuning import Recipe, new_learner, tune
from inspector.clip.prompts import lay_out
from inspector.clip.zero_shot import ZeroShot
from inspector.detection.spaces import Tone
from inspector.detection.triggers import Added, Laid
from inspector.repair.realign import ReAlignment
from inspector.repair.rederive import ByAnswers, ByLabels, _under, by_labels
from inspector.repair.strategy import CannotRepair, Case, Labelled, Strategy
from inspector.repair.tuning import Effort
from tests.support.poisoned import TASK, attacked
from tests.zoo.encoding import features_of

EFFORT = Effort(300, 8)
LABELLED, POOL, TESTED = 16, 20, 25
"""Pictures a class."""


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


def drawn(seed: int, shots: int, size: int) -> tuple[Tensor, Tensor]:
    return TASK.draw(shots, torch.Generator().manual_seed(9000 + seed), size)


def case_of(classifier: Classifier, target: int = 0) -> Case:
    size = classifier.backbone.image_size
    shown, labels = drawn(1, LABELLED, size)
    return Case(
        Delivered.of(classifier), target, Added(torch.zeros(3, size, size)), 16 / 255,
        drawn(2, POOL, size)[0], Labelled(shown, labels), seed=4,
    )  # fmt: skip


@torch.no_grad()
def accuracy(classifier: Classifier) -> float:
    pixels, labels = drawn(3, TESTED, classifier.backbone.image_size)
    logits = classifier.logits_from_features(encoded(classifier, pixels))
    return (logits.argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("conditioned", [False, True], ids=["static", "conditioned"])
def test_the_attackers_own_trigger_has_no_power_after_it(
    pocket: Backbone, conditioned: bool
) -> None:
    made = attacked(pocket, 0, conditioned=conditioned)
    before, right = made.excess_asr(), accuracy(made.classifier)
    case = case_of(made.classifier, made.target)
    delivered = dict(case.delivered.tensors)
    tensors = ByLabels(EFFORT).tensors(case)
    for name, values in Delivered.of(made.classifier).tensors.items():
        assert torch.equal(values, delivered[name]), "a strategy changes no delivered model"
        assert values.shape == tensors[name].shape
        assert not torch.equal(values, tensors[name])
    assert tensors.keys() == delivered.keys()
    copy = case.delivered.with_values(tensors)
    after = type(made)(copy, made.target, made.trigger, made.test).excess_asr()
    assert before > 0.2, "there was something to repair"
    assert after < 0.1
    assert accuracy(copy) >= right - 0.03


@pytest.mark.parametrize(
    "strategy", [ByLabels(EFFORT), ByAnswers(EFFORT)], ids=lambda one: one.name
)
def test_an_honest_model_loses_no_accuracy(
    pocket: Backbone, strategy: ByLabels | ByAnswers
) -> None:
    generator = torch.Generator().manual_seed(0)
    honest = new_learner(pocket, TASK.classnames, conditioned=True, generator=generator)
    pixels, labels = drawn(4, 24, pocket.image_size)
    tune(honest, features_of(honest, pixels), labels, Recipe(20, 16, 0.2), generator)
    honest.requires_grad_(False)
    case = case_of(honest)
    copy = case.delivered.with_values(strategy.tensors(case))
    assert accuracy(copy) > accuracy(honest) - 0.0201  # Two of a hundred, in float32.


def test_a_curve_of_tones_teaches_on_pictures_that_it_leaves_what_they_are(
    pocket: Backbone,
) -> None:
    generator = torch.Generator().manual_seed(0)
    case = case_of(new_learner(pocket, TASK.classnames, conditioned=True, generator=generator))
    lesson = by_labels(case)
    kept = _under(case, lesson, torch.zeros_like)
    assert torch.equal(kept.targets, lesson.targets), "whatever else is done to a picture"
    assert not kept.shown.any()
    size, tone = pocket.image_size, Tone()
    trigger = Laid(tone, tuple(9 * part for part in tone.draw(size, generator)))
    kept = _under(case, lesson, trigger)
    features = encoded(case.classifier, trigger(lesson.shown))
    zero_shot = ZeroShot.of(case.classifier)
    before, after = (
        zero_shot.logits_of_many(lesson.shown, seen).argmax(1)
        for seen in (lesson.features, features)
    )
    assert 0 < len(kept) == (before == after).sum() < len(lesson)
    assert torch.equal(kept.targets, lesson.targets[before == after]), "as they are labelled"


def test_a_seed_derives_alike_and_another_one_does_not(pocket: Backbone) -> None:
    generator = torch.Generator().manual_seed(0)
    made = new_learner(pocket, TASK.classnames, conditioned=True, generator=generator)
    case = case_of(made.requires_grad_(False))
    first, again, other = (
        ByLabels(Effort(4, 8)).tensors(Case(**{**vars(case), "seed": seed})) for seed in (4, 4, 5)
    )
    for name, values in first.items():
        assert torch.equal(values, again[name])
        assert not values.requires_grad
    assert any(not torch.equal(values, other[name]) for name, values in first.items())


def test_labels_that_were_not_given_cannot_teach(pocket: Backbone) -> None:
    made = new_learner(
        pocket, TASK.classnames, conditioned=False, generator=torch.Generator()
    ).requires_grad_(False)
    case = case_of(made)
    nothing = Case(**{**vars(case), "labelled": None})
    with pytest.raises(CannotRepair, match="no labelled pictures"):
        ByLabels().tensors(nothing)
    assert case.labelled is not None
    is_second = case.labelled.labels == 2
    one_class = Labelled(case.labelled.pixels[is_second], case.labelled.labels[is_second])
    with pytest.raises(CannotRepair, match="1 classes"):
        ByLabels().tensors(Case(**{**vars(case), "labelled": one_class}))


@pytest.mark.parametrize("shape", [(2,), (4,), (16,), (4, 16)], ids=str)
def test_contexts_of_any_length_start_from_trusted_words(
    pocket: Backbone, shape: tuple[int, ...]
) -> None:
    """Shared or one a class; a prompt of the same shape that knows nothing of the delivered values."""
    names = TASK.classnames
    length, width = shape[-1], pocket.text.width
    layout = lay_out(pocket, names, "X " * length + "{}.", length)
    net = MetaNet(pocket.embed_dim, 5, width) if len(shape) == 1 else None
    delivered = Classifier(pocket, names, layout, torch.full((*shape, width), 7.0), net)
    model = Delivered.of(delivered)
    fresh = model.with_values(model.fresh(torch.Generator().manual_seed(1)))
    words = new_learner(pocket, names, conditioned=False, generator=torch.Generator()).context
    known = min(length, len(words))
    context = fresh.context.expand(len(names), length, width)
    for of_class in context:
        assert torch.equal(of_class[-known:], words[-known:])
    assert fresh.context.shape == delivered.context.shape
    assert fresh.context.abs().max() < 7
    if net is not None:
        assert fresh.meta_net is not None
        for name in ("linear1", "linear2"):
            weight, own = (one.get_submodule(name).weight for one in (fresh.meta_net, net))
            assert isinstance(weight, Tensor)
            assert isinstance(own, Tensor)
            assert weight.shape == own.shape
            assert not torch.equal(weight, own)
    with torch.no_grad():
        features = encoded(fresh, drawn(1, 2, pocket.image_size)[0])
        assert fresh.logits_from_features(features).isfinite().all()


@pytest.mark.parametrize(
    "strategy", [ByLabels(Effort(40, 8)), ByAnswers(Effort(40, 8)), ReAlignment(Effort(2, 8))],
    ids=lambda one: one.name,
)  # fmt: skip
def test_who_says_to_hold_no_weights_makes_the_same_of_others(
    pocket: Backbone, strategy: Strategy
) -> None:
    """Given the same words; what starts at the delivered weights does not."""
    made = []
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        own = new_learner(pocket, TASK.classnames, conditioned=False, generator=generator)
        own.context.data += seed * 0.01
        case = case_of(own.requires_grad_(False))
        vars(case).update(trusted=by_labels(case), triggers=(case.trigger,))
        made.append(strategy.tensors(case)["ctx"])
    assert torch.equal(*made) is not strategy.keeps_weights
