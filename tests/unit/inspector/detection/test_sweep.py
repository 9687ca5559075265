"""Sweeps and their pooling, on a tiny random backbone."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.cost import images_of_sweep
from inspector.detection.effects import (
    NO_EFFECT,
    effects_on,
    encode_clean,
    encode_triggered,
    mean_effect,
)
from inspector.detection.evidence import Inverted, Outcome, pooled
from inspector.detection.inversion import SearchConfig
from inspector.detection.objectives import ANCHORS
from inspector.detection.pools import Pools
from inspector.detection.random_triggers import TriggerSplit, effects_by_class
from inspector.detection.sweep import CleanProbes, encode_probes
from inspector.profiles import ObjectiveName
from tests.support.sweeps import sweep

NAMES = ["red circle", "blue star", "green square"]
CONFIG = SearchConfig(epsilon=0.05, batch=4)


@pytest.fixture
def conditioned(vit: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    learner = new_learner(vit, NAMES, conditioned=True, generator=generator)
    assert learner.meta_net is not None
    learner.meta_net.linear2.weight.data *= 20  # So that what it reads matters.
    return learner.requires_grad_(False)


@pytest.fixture
def pools(vit: Backbone) -> Pools:
    size = vit.image_size
    pixels = torch.rand(12, 3, size, size, generator=torch.Generator().manual_seed(1))
    return Pools(pixels[:4], pixels[4:])


@pytest.fixture
def start(conditioned: Classifier, pools: Pools) -> CleanProbes:
    return encode_probes(conditioned, pools, CONFIG)


def inverted(outcome: Outcome) -> Inverted:
    assert outcome.inverted is not None
    return outcome.inverted


def test_every_outcome_of_a_sweep_carries_its_class_s_answers(
    conditioned: Classifier, pools: Pools, start: CleanProbes
) -> None:
    expected = effects_by_class(
        conditioned, encode_clean(conditioned, pools.held_out), 5, TriggerSplit()
    )
    assert expected[0] != expected[2]
    outcomes = pooled([sweep(conditioned, start, [2, 0], CONFIG, seed=5)])
    assert [outcome.random_triggers for outcome in outcomes] == [expected[2], expected[0]]


def test_what_triggers_of_other_classes_do_to_a_class_is_kept(
    conditioned: Classifier, pools: Pools, start: CleanProbes
) -> None:
    outcomes = pooled([sweep(conditioned, start, [0, 1, 2], CONFIG, seed=5)])
    baseline = encode_clean(conditioned, pools.held_out)
    of_all = [
        effects_on(
            conditioned,
            baseline,
            encode_triggered(
                conditioned,
                baseline.zero_shot,
                inverted(one).trigger(baseline.pixels),
            ),
        )
        for one in outcomes
    ]
    assert outcomes[0].others == mean_effect([of_all[1][0], of_all[2][0]])
    assert [one.own for one in outcomes] == [of_all[index][index] for index in range(3)]
    (alone,) = pooled([sweep(conditioned, start, [2], CONFIG, seed=5)])
    assert alone.others == NO_EFFECT


def test_later_sweeps_are_averaged_with_the_first(
    conditioned: Classifier, start: CleanProbes
) -> None:
    first = sweep(conditioned, start, [0, 1, 2], CONFIG, seed=5)
    second = sweep(conditioned, start, [1], CONFIG, seed=6)
    alone, again, both = pooled([first]), pooled([second]), pooled([first, second])
    assert [one.target for one in both] == [0, 1, 2]
    assert both[1].own == mean_effect([alone[1].own, again[0].own])
    asr = fmean([inverted(alone[1]).asr, inverted(again[0]).asr])
    assert inverted(both[1]).asr == pytest.approx(asr)
    assert both[0].own == alone[0].own
    assert both[1].others == alone[1].others
    triggers = [first.found[i].effects[0] for i in (1, 2)] + [second.found[0].effects[0]]
    assert both[0].others == mean_effect(triggers)
    for index, outcome in enumerate(both):
        for family, effect in outcome.random_triggers.items():
            asked = [
                one.random_triggers[index]
                for one in (first, second)
                if family in one.random_triggers[index]
            ]
            assert effect == mean_effect([one[family] for one in asked])
    assert inverted(both[1]).trigger is inverted(alone[1]).trigger


@pytest.mark.parametrize("objective", ["prompt", "joint"])
def test_the_clean_prediction_bias_is_the_share_beyond_zero_shot_prompts_of_all_probes_without_a_trigger(
    conditioned: Classifier, pools: Pools, objective: ObjectiveName
) -> None:
    start = encode_probes(conditioned, pools, replace(CONFIG, objective=objective))
    pixels = torch.cat([pools.optimisation, pools.held_out][objective == "joint" :])
    backbone = conditioned.backbone
    with torch.no_grad():
        features = backbone.image_features(pixels)
        zero_shot = backbone.logit_scale * features @ backbone.zero_shot(NAMES).T
        said = conditioned.logits_from_features(features).softmax(1).mean(0)
    expected = said - zero_shot.softmax(1).mean(0)
    assert expected.abs().max() > 0.01
    assert start.clean_prediction_bias == pytest.approx(expected.tolist(), abs=1e-4)
    first = sweep(conditioned, start, [2, 0], CONFIG, seed=5)
    other = encode_probes(conditioned, Pools(pools.optimisation, pools.held_out[:2]), CONFIG)
    second = sweep(conditioned, other, [2], CONFIG, seed=6)
    assert start.clean_prediction_bias != pytest.approx(other.clean_prediction_bias, abs=1e-4)
    both = pooled([first, second])
    means = [
        fmean([one, two])
        for one, two in zip(start.clean_prediction_bias, other.clean_prediction_bias, strict=True)
    ]
    assert [one.clean_prediction_bias for one in both] == [means[2], means[0]]


def test_what_is_known_before_a_search_is_what_the_classifier_says(
    conditioned: Classifier, pools: Pools
) -> None:
    config = SearchConfig(epsilon=0.05, objective="prompt", num_eval=3)
    before = conditioned.work.image_forward
    start = encode_probes(conditioned, pools, config)
    assert conditioned.work.image_forward - before == 7
    assert torch.equal(start.pixels, torch.cat([pools.optimisation, pools.held_out[:3]]))
    with torch.no_grad():
        features = conditioned.image_features(start.pixels)
        expected = conditioned.logits_from_features(features)
    assert (start.features - features).abs().max() <= 1e-5
    assert (start.logits - expected).abs().max() <= 1e-4
    sweep(conditioned, start, [1, 2], replace(config, images=4), seed=0)
    encoded = conditioned.work.image_forward - before - 7 - len(features)
    assert encoded == images_of_sweep(replace(config, images=4), pools, targets=2)


def test_sweeps_take_turns_at_the_stock_triggers(conditioned: Classifier, pools: Pools) -> None:
    config = replace(CONFIG, trigger_splits=2)
    start = encode_probes(conditioned, pools, config)
    every = [
        effects_by_class(conditioned, start.baseline, 5, TriggerSplit(times, 2))
        for times in range(1, 5)
    ]
    assert every[0] == every[2] and every[1] == every[3] and every[0] != every[1]
    later = sweep(conditioned, start, [0], config, seed=5, number=1)
    assert (
        later.random_triggers
        == every[0]
        != sweep(conditioned, start, [0], config, seed=5).random_triggers
    )


def test_a_later_sweep_sees_other_probes(vit: Backbone) -> None:
    config = SearchConfig(epsilon=0.05, images=8, num_eval=5)
    pixels = torch.arange(20.0)[:, None, None, None].expand(20, 3, 1, 1)
    many = pixels.repeat(10, 1, 1, 1)
    turned = Pools(many, pixels).turned(1, config.num_eval)
    assert turned.held_out[:5, 0, 0, 0].tolist() == [5, 6, 7, 8, 9]
    assert turned.optimisation[0, 0, 0, 0] == ANCHORS % 20
    assert torch.equal(Pools(many, pixels).turned(0, config.num_eval).held_out, pixels)
