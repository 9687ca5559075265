"""Every strategy of cleaning on every family, a few updates long: what is lowered, moved and refused.

Whether a backdoor goes needs the full effort and is measured by the bench, not here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.moving import Moving
from inspector.detection.triggers import Added
from inspector.errors import BudgetExceeded, NumericalError
from inspector.probes.pairs import Pairs
from inspector.progress import Meter
from inspector.repair.encoders.case import FEWEST_PAIRS, EncoderCase, EncoderStrategy
from inspector.repair.encoders.cleanclip import CleanClip
from inspector.repair.encoders.contrastive import Contrastive, matched
from inspector.repair.encoders.losses import mean_cosine
from inspector.repair.encoders.par import PerturbAndRecover
from inspector.repair.encoders.recipes import Schedule
from inspector.repair.encoders.restore import Restore
from inspector.repair.encoders.training import UNITS, Batch, tokens_of
from inspector.repair.encoders.unlearning import TokenUnlearning
from inspector.repair.strategy import CannotRepair
from tests.support.encoders import TUNABLE, of, pixels_and_words

SHORT = Schedule(epochs=6, batch=32, rate=3e-3)
STRATEGIES: tuple[EncoderStrategy, ...] = (
    Contrastive(SHORT), PerturbAndRecover(SHORT), CleanClip(SHORT), TokenUnlearning(SHORT),
)  # fmt: skip


def case_of(name: str, folder: Path, backbone: Backbone, **changes: Any) -> EncoderCase:
    own = of(name, folder, backbone)
    trigger = Added(0.3 * torch.ones(3, backbone.image_size, backbone.image_size))
    pairs = Pairs.of(*pixels_and_words(backbone, FEWEST_PAIRS))
    case = EncoderCase(own, 1, trigger, pairs, 5, Meter(lambda _: None, None))
    return replace(case, **changes)


def loss_of(case: EncoderCase, encoders: Backbone) -> float:
    """CLIP's loss of all pairs."""
    captions = list(case.pairs.captions)
    pixels = case.pairs.pixels(torch.arange(len(captions)))
    with torch.no_grad():
        return float(matched(encoders, Batch(pixels, captions, tokens_of(encoders, captions))))


@pytest.mark.parametrize("name", TUNABLE)
def test_fine_tuning_lowers_the_loss_of_the_file_that_is_delivered(
    name: str, tmp_path: Path, vit: Backbone
) -> None:
    case = case_of(name, tmp_path, vit)
    own = case.delivered
    before = {key: value.clone() for key, value in own.tensors.items()}
    tensors = Contrastive(SHORT).tensors(case)
    assert tensors.keys() == Moving(own).leaves.keys()
    copy = own.with_tensors(tensors)
    assert loss_of(case, copy.backbone) < loss_of(case, own.encoders) - 0.05
    assert all(torch.equal(before[key], value) for key, value in own.tensors.items())


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one.name)
@pytest.mark.parametrize("name", ["hugging face", "lora", "adapter"])
def test_every_strategy_makes_sound_tensors_and_the_same_ones_again(
    name: str, strategy: EncoderStrategy, tmp_path: Path, vit: Backbone
) -> None:
    case = case_of(name, tmp_path, vit)
    first, second = (strategy.tensors(case) for _ in range(2))
    own = case.delivered.tensors
    assert first and all(torch.equal(first[key], second[key]) for key in first)
    assert all(value.isfinite().all() and value.shape == own[key].shape for key, value in first.items())  # fmt: skip
    assert any(not torch.allclose(first[key], own[key].float()) for key in first)


def test_par_leaves_the_delivered_embeddings_and_the_control_does_not(
    tmp_path: Path, vit: Backbone
) -> None:
    case = case_of("openai", tmp_path, vit)
    pixels = case.pairs.pixels(torch.arange(FEWEST_PAIRS))
    cosines = []
    for strategy in (Contrastive(SHORT), PerturbAndRecover(SHORT, weight=20.0)):
        copy = case.copy(strategy.tensors(case)).backbone
        with torch.no_grad():
            before = case.delivered.encoders.image_features(pixels)
            cosines.append(mean_cosine(copy.image_features(pixels), before))
    assert cosines[1] < cosines[0] - 0.1


def test_unlearning_lowers_what_the_trigger_says_of_the_target(
    tmp_path: Path, vit: Backbone
) -> None:
    case = case_of("openai", tmp_path, vit)
    assert case.trigger is not None
    carrying = case.trigger(case.pairs.pixels(torch.arange(FEWEST_PAIRS)))
    shares = []
    for target in range(3):
        own = replace(case, target=target)
        copy = case.copy(TokenUnlearning(SHORT).tensors(own))
        with torch.no_grad():
            shares += [
                float(model(carrying).softmax(1)[:, target].mean())
                for model in (case.delivered.classifier, copy)
            ]
    for before, after in zip(shares[::2], shares[1::2], strict=True):
        assert after < max(0.1, 0.7 * before)


@pytest.mark.parametrize("missing", ["trigger", "target"])
def test_unlearning_needs_a_trigger_and_its_class(
    missing: str, tmp_path: Path, vit: Backbone
) -> None:
    case = case_of("openai", tmp_path, vit, **{missing: None})
    with pytest.raises(CannotRepair):
        TokenUnlearning(SHORT).tensors(case)
    assert Restore().tensors(case)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one.name)
def test_too_few_pairs_are_told(strategy: EncoderStrategy, tmp_path: Path, vit: Backbone) -> None:
    case = case_of("adapter", tmp_path, vit)
    few = replace(case, pairs=case.pairs.chosen(torch.arange(FEWEST_PAIRS - 1)))
    with pytest.raises(CannotRepair, match="pairs"):
        strategy.tensors(few)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one.name)
def test_a_cache_is_restored_and_not_tuned(
    strategy: EncoderStrategy, tmp_path: Path, vit: Backbone
) -> None:
    case = case_of("cache", tmp_path, vit)
    with pytest.raises(CannotRepair):
        strategy.tensors(case)
    assert set(Restore().tensors(case)) == {"values"}


def test_training_is_told_and_ends_when_the_time_is_up(tmp_path: Path, vit: Backbone) -> None:
    said: list[dict[str, Any]] = []
    case = case_of("adapter", tmp_path, vit, meter=Meter(said.append, None))
    Contrastive(SHORT).tensors(case)
    fractions = [event["fraction"] for event in said]
    assert len(said) == UNITS + 1
    assert fractions == sorted(fractions) and fractions[-1] > 0.9
    late = replace(case, meter=Meter(lambda _: None, 0.0))
    with pytest.raises(BudgetExceeded):
        Contrastive(SHORT).tensors(late)


def test_who_is_told_may_cancel(tmp_path: Path, vit: Backbone) -> None:
    class Canceled(Exception): ...

    def refuse(_: object) -> None:
        raise Canceled

    case = case_of("adapter", tmp_path, vit, meter=Meter(refuse, None))
    with pytest.raises(Canceled):
        CleanClip(SHORT).tensors(case)


def test_a_training_that_breaks_is_told(tmp_path: Path, vit: Backbone) -> None:
    case = case_of("openai", tmp_path, vit)
    with pytest.raises(NumericalError):
        Contrastive(replace(SHORT, rate=1e30)).tensors(case)
