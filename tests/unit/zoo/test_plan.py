"""The exam's plan: sizes the issue asks for, splits that share nothing, and what is set aside."""

from __future__ import annotations

import subprocess
import sys

from tests.zoo import plan
from tests.zoo.kinds import ADAPTIVE, ATTACKS, CONTROLS, KINDS, LATER, MATCHED, PAPER_KINDS
from tests.zoo.tasks import TASKS


def test_kinds_that_have_been_built_keep_their_places() -> None:
    assert KINDS[:5] == PAPER_KINDS == ("clean", "badclip", "blended", "wanet", "siba")
    assert KINDS[5:19] == (
        "badnets", "stripes", "triangle", "text", "source", "multi", "recipe", "permuted",
        "noisy", "imbalanced", "augmented", "overtrained", "watermark", "scrambled",
    )  # fmt: skip
    assert KINDS[19:31] == (
        "scrambled_blended", "scrambled_badnets", "scrambled_siba", "steep", "adversarial",
        "wanet_noise", "blended_noise", "decoyed", "quiet", "badclip_adaptive", "popular",
        "evasive",
    )  # fmt: skip
    assert KINDS[31:49] == (
        "dct", "sinusoid", "quantised", "dithered", "mixup", "longtail", "stopped", "stepped",
        "shots4", "shots8", "shots16", "shots32", "adam", "smoothed", "blurred", "codes",
        "slower", "published",
    )  # fmt: skip
    assert KINDS[49:68] == (
        "sticker", "film", "tone", "badnets_noise", "sticker_noise", "stripes_noise",
        "text_noise", "siba_noise", "film_noise", "tone_noise", "sinusoid_noise",
        "quantised_noise", "static_honest", "static_frozen", "static_faint", "static_warp",
        "slow_blended", "slow_wanet", "published_wanet",
    )  # fmt: skip


def test_every_kind_is_clean_an_attack_or_a_control() -> None:
    assert sorted(("clean", *ATTACKS, *CONTROLS)) == sorted(set(KINDS)) == sorted(KINDS)


def test_no_model_is_planned_twice_and_no_seed_serves_two_splits() -> None:
    models = [(e.task, e.kind, e.seed) for e in plan.PLAN]
    assert len(set(models)) == len(models)
    seeds = [{e.seed for e in plan.entries(s)} for s in ("design", "calibration", "set-aside")]
    assert all(seeds)
    assert len(set.union(*seeds)) == sum(map(len, seeds))
    assert not set.union(*seeds) & set(plan.RESERVE_SEEDS)
    assert min(set.union(*seeds)) > 1000


def test_the_exam_is_large_enough_without_its_design_split() -> None:
    aside = plan.entries("set-aside")
    backdoored = sum(e.is_backdoored for e in aside)
    assert backdoored > 1.5 * plan.MINIMUM_BACKDOORED
    assert len(aside) - backdoored >= plan.MINIMUM_CLEAN
    pocket = {e.task for e in plan.PLAN if e.backbone == "pocket"}
    assert len(pocket) >= plan.MINIMUM_TASKS and pocket == set(TASKS)


def test_clean_models_that_look_attacked_are_in_every_split() -> None:
    aside = plan.entries("set-aside")
    matched = sum(e.kind in MATCHED for e in aside)
    assert 2 * matched >= sum(e.is_backdoored for e in aside)
    for split in plan.SPLITS:
        for kind in set(MATCHED) - {plan.ASIDE_CONTROL}:
            assert plan.entries(split, kind=kind), (split, kind)


def test_attackers_who_know_the_score_are_a_hundred_and_on_every_small_task() -> None:
    aside = [e for e in plan.entries("set-aside") if e.kind in ADAPTIVE]
    assert len(aside) >= 100
    for kind in set(ADAPTIVE) - set(LATER):
        assert {e.task for e in aside if e.kind == kind} >= set(TASKS) - {"pairs100"}


def test_dear_models_are_few() -> None:
    aside = plan.entries("set-aside")
    assert sum(e.kind in ("badclip", "badclip_adaptive") for e in aside) <= 40
    assert sum(e.task == "pairs100" for e in aside) <= 24


def test_thresholds_see_no_attacked_model() -> None:
    kinds = {e.kind for e in plan.entries("calibration")}
    assert "clean" in kinds and kinds <= {"clean", *CONTROLS}


def test_what_is_set_aside_is_in_no_other_split() -> None:
    seen = [e for e in plan.PLAN if e.split != "set-aside"]
    assert not {e.task for e in seen} & {*plan.ASIDE_TASKS, *plan.PHOTO_TASKS}
    assert not {e.kind for e in seen} & {*plan.ASIDE_ATTACKS, plan.ASIDE_CONTROL}
    assert plan.PHOTO_BACKBONE not in {e.backbone for e in seen}
    assert {e.kind for e in plan.PLAN} == set(KINDS) - set(LATER)


def test_what_no_buyer_would_accept_is_for_design_only() -> None:
    assert {e.split for e in plan.entries(kind="permuted")} == {"design"}


def test_classes_reach_from_two_to_a_hundred() -> None:
    numbers = {len(TASKS[e.task].classnames) for e in plan.PLAN if e.task in TASKS}
    assert min(numbers) == 2 and max(numbers) == 100


def test_with_two_classes_nothing_is_source_specific() -> None:
    assert not any(e.kind == "source" and e.task == "sizes2" for e in plan.PLAN)


def test_every_model_is_counted_once_in_every_table() -> None:
    for field in plan.FIELDS:
        assert sum(sum(row.values()) for row in plan.counts(field).values()) == len(plan.PLAN)


def test_the_list_has_a_line_for_every_model() -> None:
    command = [sys.executable, "-m", "tests.zoo.plan", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == len(plan.PLAN)
    assert {len(line) for line in lines} == {6}
