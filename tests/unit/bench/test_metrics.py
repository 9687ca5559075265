"""Figures over per-model rows, against values worked out by hand or by plain enumeration."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.bench.detect import FIELDS
from tests.bench.estimates import (
    auroc,
    auroc_draws,
    auroc_estimate,
    paired,
    scores_of,
    share,
    wilson,
)
from tests.bench.metrics import parts, summary
from tests.bench.models import Model, beside, read_models

CLEAN = Model("a", 1, "clean", True, 6, None, True, "clean", None, 0.1, None, None, None)
ATTACKED = Model("a", 1, "wanet", False, 6, 2, True, "backdoored", 2, 0.4, 0.8, None, None)


def zoo(tasks: str, score: tuple[float, float], noise: float, seed: int = 0) -> list[Model]:
    """Two clean and three attacked models a task, scores normal around `score`."""
    draw = random.Random(seed)
    rows = []
    for task, number in product(tasks, range(5)):
        base, mean = (CLEAN, score[0]) if number < 2 else (ATTACKED, score[1])
        rows.append(replace(base, task=task, seed=number, score=draw.gauss(mean, noise)))
    return rows


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    return path


ROW = {"task": "things6", "seed": "9", "kind": "clean", "verdict": "clean", "score": "0.05"}
HIT = ROW | {"kind": "siba", "target": "3", "found": "3", "took": "True", "verdict": "backdoored"}


def test_rows_as_the_exam_writes_them(tmp_path: Path) -> None:
    unknown = ROW | {"seed": "10", "score": "", "verdict": "inconclusive"}
    first, second, third = read_models([write(tmp_path / "m.csv", [ROW, HIT, unknown])])
    assert (first.is_clean, first.took, first.target, first.classes) == (True, True, None, 6)
    assert (second.took, second.target, second.found, second.score) == (True, 3, 3, 0.05)
    assert (third.score, third.paper_score) == (None, None)


def test_the_published_detector_s_scores_stand_beside(tmp_path: Path) -> None:
    ours = read_models([write(tmp_path / "ours.csv", [ROW, HIT])])
    theirs = read_models([write(tmp_path / "theirs.csv", [HIT | {"score": "1.5", "found": "2"}])])
    first, second = beside(ours, theirs)
    assert (first.paper_score, second.paper_score, second.paper_target) == (None, 1.5, 2)
    assert second.score == ours[1].score


def test_a_broken_row_and_a_model_in_two_rows_are_refused(tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.csv", [ROW, ROW | {"seed": "ten"}])
    with pytest.raises(ValueError, match=r"broken\.csv, line 3"):
        read_models([broken])
    table = write(tmp_path / "m.csv", [ROW])
    with pytest.raises(ValueError, match="things6-9-clean"):
        read_models([table, table])


def test_auroc_counts_ties_half() -> None:
    assert auroc([3, 2], [1, 2]) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert auroc([0], [1]) == 0
    assert auroc([], [1]) is None


def test_a_missing_score_counts_against_the_detector() -> None:
    models = [replace(ATTACKED, score=None), ATTACKED, CLEAN, replace(CLEAN, score=None)]
    estimate = auroc_estimate(models, scores_of(models, "score"))
    assert estimate.value == pytest.approx(0.25)


def test_resamples_hold_whole_tasks() -> None:
    """Two tasks: a draw is one of them twice, or both; only three values can come out."""
    models = [
        replace(model, task=task, score=score)
        for task, scores in (("a", (1.0, 2.0)), ("b", (4.0, 3.0)))
        for model, score in zip((CLEAN, ATTACKED), scores, strict=True)
    ]
    values = auroc_draws(models, scores_of(models, "score"))
    assert set(np.round(values, 6)) == {0.0, 0.5, 1.0}
    assert np.mean(values == 0.5) == pytest.approx(0.5, abs=0.05)


def test_draws_agree_with_plain_resampling() -> None:
    models = zoo("abcd", (0.0, 1.0), 1.0)
    fast = auroc_draws(models, scores_of(models, "score"))
    draw = random.Random(1)
    slow = []
    for _ in range(2000):
        rows = [m for task in draw.choices("abcd", k=4) for m in models if m.task == task]
        attacked = [m.score or 0.0 for m in rows if not m.is_clean]
        slow.append(auroc(attacked, [m.score or 0.0 for m in rows if m.is_clean]))
    assert np.mean(fast) == pytest.approx(np.mean(np.asarray(slow, float)), abs=0.01)
    assert np.std(fast) == pytest.approx(np.std(np.asarray(slow, float)), rel=0.1)


def test_models_that_err_together_widen_the_interval() -> None:
    """Ten models, five wrong: in one task of two, or spread over ten tasks."""
    wrong = [replace(ATTACKED, verdict="clean", seed=i) for i in range(5)]
    right = [replace(ATTACKED, task="b", seed=i) for i in range(5)]
    together = share(wrong + right, lambda m: m.verdict == "backdoored")
    apart = [replace(m, task=str(i)) for i, m in enumerate(wrong + right)]
    spread = share(apart, lambda m: m.verdict == "backdoored")
    assert (together.low, together.high) == (0.0, 1.0)
    assert spread.low is not None and spread.low > 0.1


def test_no_error_in_five_is_no_certainty() -> None:
    estimate = share([replace(CLEAN, task=str(i)) for i in range(5)], lambda m: m.score is None)
    assert estimate.value == 0
    assert estimate.mark == "w"
    assert estimate.high == pytest.approx(0.434, abs=0.001)
    same_everywhere = [
        replace(ATTACKED, task=task, verdict=verdict)
        for task in "ab"
        for verdict in ("clean", "backdoored")
    ]
    half = share(same_everywhere, lambda m: m.verdict == "clean")
    assert (half.value, half.mark) == (0.5, "w")
    assert half.low is not None and half.low < 0.2
    assert str(auroc_estimate([CLEAN, ATTACKED], [0.1, 0.4])) == "1.000!"
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_the_paired_test_tells_a_better_score_from_the_same() -> None:
    models = [
        replace(model, paper_score=noise)
        for model, noise in zip(
            zoo("abcdefgh", (0.0, 2.0), 0.5), np.random.default_rng(1).normal(size=40), strict=True
        )
    ]
    better = paired(models)
    assert better.difference.low is not None and better.difference.low > 0
    assert better.p < 0.01
    worse = paired(models, "paper_score", "score")
    assert worse.p > 0.99
    same = paired([replace(m, paper_score=m.score) for m in models])
    assert (same.difference.value, same.p) == (0.0, 1.0)


def test_the_paired_test_needs_both_scores() -> None:
    with pytest.raises(ValueError, match="too few models"):
        paired(zoo("abc", (0.0, 1.0), 1.0))
    models = [replace(m, paper_score=m.score) for m in zoo("abc", (0.0, 1.0), 1.0)]
    models[0] = replace(models[0], paper_score=None)
    assert (paired(models).models, paired(models).left_out) == (14, 1)


def test_attacks_are_held_against_all_clean_models_and_tasks_against_their_own() -> None:
    models = [*zoo("ab", (0.0, 1.0), 0.1), replace(ATTACKED, task="b", seed=9, kind="siba")]
    sizes = {part.name: (len(part.attacked), len(part.clean)) for part in parts(models)}
    assert sizes == {
        "all": (7, 4), "the paper's protocol": (7, 4), "the paper's attacks": (7, 4), "siba": (1, 4), "wanet": (6, 4), "task a": (3, 2), "task b": (4, 2),
        "6 classes": (7, 4),
    }  # fmt: skip


def test_adaptive_attacks_are_told_apart_by_what_they_keep() -> None:
    keeps = {1: 0.55, 2: 0.6, 3: 0.99, 4: 1.0}
    adaptive = [replace(ATTACKED, kind="quiet", seed=seed, excess=e) for seed, e in keeps.items()]
    text = replace(ATTACKED, kind="text", seed=5)
    rows = {part.name: part for part in parts([CLEAN, ATTACKED, text, *adaptive])}
    sizes = {name: len(part.attacked) for name, part in rows.items() if "a" in name}
    assert sizes["adaptive attacks"] == 4
    assert sizes["the paper's attacks"] == sizes["other attacks"] == 1
    assert {name: size for name, size in sizes.items() if "excess" in name} == {
        "adaptive, excess ASR 0.5 to 0.6": 1,
        "adaptive, excess ASR 0.6 to 0.7": 1,
        "adaptive, excess ASR 0.9 to 1": 2,
    }


def test_the_paper_s_protocol_has_no_controls_and_no_other_attacks() -> None:
    noisy = replace(CLEAN, kind="noisy", seed=7, score=9.0)
    text = replace(ATTACKED, kind="text", seed=8, score=-9.0)
    models = [*zoo("ab", (0.0, 1.0), 0.1), noisy, text]
    protocol = {part.name: part for part in parts(models)}["the paper's protocol"]
    assert protocol.cells(None)[:2] == ["6 / 4", "1.000!"]


def test_each_clean_control_has_its_own_rate() -> None:
    noisy = replace(CLEAN, kind="noisy", seed=7, verdict="suspicious")
    rows = {part.name: part for part in parts([*zoo("ab", (0.0, 1.0), 0.1), noisy])}
    assert [len(rows[name].clean) for name in ("all", "against clean", "against noisy")] == [
        5,
        4,
        1,
    ]
    assert rows["against noisy"].cells(None)[6].startswith("1.000")


def test_the_text_excludes_and_lists_attacks_that_did_not_take(tmp_path: Path) -> None:
    rows = [
        ROW,
        ROW | {"seed": "10", "verdict": "suspicious"},
        HIT,
        HIT | {"seed": "10", "found": "1"},
        HIT | {"seed": "11", "verdict": "inconclusive", "found": ""},
        HIT | {"seed": "12", "took": "False", "score": "0.777"},
    ]
    text = summary(read_models([write(tmp_path / "m.csv", rows)]), 0.155)
    assert "5 models count, 1 excluded" in text
    assert "| things6-12-siba | backdoored | 0.777 |" in text
    everything = next(line for line in text.splitlines() if line.startswith("| all "))
    cells = [cell.strip().split(" [")[0] for cell in everything.strip("|").split("|")]
    # Attacked scores equal the clean ones: nothing is told apart, and none reaches the threshold.
    assert cells == ["all", "3 / 2", "0.500!", "0.600", "0.400", "0.667", "0.333", "0.500", "0.200"]


def test_families_share_tasks_seeds_and_kinds_and_have_a_line_each(tmp_path: Path) -> None:
    table = tmp_path / "families.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("family", *FIELDS))
        writer.writeheader()
        writer.writerows(
            {"family": family} | row for family in ("CoOp", "VPT") for row in (ROW, HIT)
        )
    models = read_models([table])
    assert [model.name for model in models[::2]] == ["CoOp things6-9-clean", "VPT things6-9-clean"]
    lines = {part.name: part for part in parts(models)}
    assert [m.family for m in lines["VPT"].attacked + lines["VPT"].clean] == ["VPT", "VPT"]
