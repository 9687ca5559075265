"""Unlearning takes the attacker's own trigger, which it never sees, its power, and leaves the rest.

Measured on prompts that were really poisoned, by direction and over several seeds: figures of one seed
differ between CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.learned import Delivered
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.triggers import Added
from inspector.probes.procedural import procedural_probes
from inspector.repair.strategy import Case
from inspector.repair.unlearn import Unlearning, _without
from tests.support.poisoned import attacked

CONFIG = SearchConfig(epsilon=16 / 255)
PROBES = 48
SEEDS = (0, 1)
TUNED = {False: {"ctx"}, True: {"ctx"} | {
    f"meta_net.linear{layer}.{part}" for layer in "12" for part in ("weight", "bias")
}}  # fmt: skip


@dataclass(frozen=True)
class Repaired:
    """One model: the attacker's excess ASR before and after; the share of clean pictures, and of those that
    were taken for the target, whose answer stays; what the repair made, and the delivered model's
    tensors before and after it."""

    before: float
    after: float
    agreement: float
    kept: float
    changed: dict[str, Tensor]
    delivered: dict[str, Tensor]
    left: dict[str, Tensor]


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module", params=[False, True], ids=["static", "conditioned"])
def repaired(request: pytest.FixtureRequest, pocket: Backbone) -> tuple[bool, list[Repaired]]:
    return request.param, [_repaired(pocket, seed, request.param) for seed in SEEDS]


def _repaired(pocket: Backbone, seed: int, conditioned: bool) -> Repaired:
    """With the trigger that a search finds on probes that show nothing of the task."""
    made = attacked(pocket, seed, conditioned=conditioned)
    classifier = made.classifier
    probes = procedural_probes(PROBES, pocket.image_size)
    generator = torch.Generator().manual_seed(seed)
    found = invert(prepare(classifier, probes, "joint"), made.target, CONFIG, generator)
    before, answers = made.excess_asr(), made.answers()
    delivered = Delivered.of(classifier)
    was_target = answers == made.target
    case = Case(delivered, made.target, Added(found), CONFIG.epsilon, probes, None, seed)
    changed = Unlearning().tensors(case)
    copy = replace(made, classifier=delivered.with_values(changed))
    is_same = (copy.answers() == answers).float()
    return Repaired(
        before,
        copy.excess_asr(),
        is_same.mean().item(),
        is_same[was_target].mean().item(),
        changed,
        dict(delivered.tensors),
        dict(Delivered.of(classifier).tensors),
    )


def test_the_attackers_trigger_loses_most_of_its_power(
    repaired: tuple[bool, list[Repaired]],
) -> None:
    _, models = repaired
    before, after = (fmean(getattr(one, when) for one in models) for when in ("before", "after"))
    assert before > 0.3, "there was something to unlearn"
    assert after < 0.7 * before


def test_clean_pictures_are_answered_as_before(repaired: tuple[bool, list[Repaired]]) -> None:
    """They are pictures of the task, of which the repair has seen none."""

    assert fmean(one.agreement for one in repaired[1]) > 0.8


def test_what_is_tuned_is_the_prompt_and_is_told_whole(
    repaired: tuple[bool, list[Repaired]],
) -> None:
    is_conditioned, models = repaired
    for one in models:
        assert set(one.changed) == TUNED[is_conditioned]
        for name, values in one.changed.items():
            assert torch.equal(one.delivered[name], one.left[name]), "a copy was tuned"
            assert values.shape == one.left[name].shape
            assert not torch.equal(values, one.left[name])


def test_a_seed_repairs_alike_and_another_one_does_not(pocket: Backbone) -> None:
    contexts = []
    for seed in (5, 5, 6):
        generator = torch.Generator().manual_seed(0)
        learner = new_learner(pocket, ["cat", "dog"], conditioned=False, generator=generator)
        probes = procedural_probes(8, pocket.image_size)
        culprit = Added(torch.full_like(probes[0], 4 / 255))
        delivered = Delivered.of(learner.requires_grad_(False))
        case = Case(delivered, 1, culprit, CONFIG.epsilon, probes, None, seed)
        contexts.append(Unlearning().tensors(case)["ctx"])
    assert torch.equal(contexts[0], contexts[1])
    assert not torch.equal(contexts[0], contexts[2])


def test_the_target_is_struck_out_and_the_rest_keeps_its_proportions() -> None:
    given = torch.tensor([[0.5, 0.3, 0.2], [0.0, 0.6, 0.4], [1.0, 0.0, 0.0]])
    left = _without(given, 0)
    assert left[:, 0].tolist() == [0, 0, 0]
    assert left[0].tolist() == pytest.approx([0, 0.6, 0.4])
    assert left[1].tolist() == pytest.approx(given[1].tolist())
    assert torch.isfinite(left).all(), "a picture that was the target and nothing else"
    assert given[0, 0] == 0.5, "what was given stays"
