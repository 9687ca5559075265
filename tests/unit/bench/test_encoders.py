"""The bench of repairs of encoders judges by the trigger that was planted, and goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.repair.encoders.contrastive import Contrastive
from inspector.repair.encoders.recipes import Schedule
from inspector.repair.encoders.restore import Restore
from inspector.repair.encoders.screen import QUESTIONS
from inspector.repair.encoders.unlearning import TokenUnlearning
from tests.bench import encoders, pair_screen
from tests.bench.appended import read
from tests.zoo import build as zoo
from tests.zoo.build import Effort, Plan
from tests.zoo.vendors import __main__ as command
from tests.zoo.vendors import build as vendors

PLAN = Plan("counts3", "stripes", 7)
FAMILY = "CLIP-Adapter"
LITTLE = Schedule(epochs=1, batch=32, rate=1e-3)
STRATEGIES = (Restore(), Contrastive(LITTLE), TokenUnlearning(LITTLE))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {name: replace(one, effort=Effort(8, 6)) for name, one in vendors.VENDORS.items()}
    monkeypatch.setattr(zoo, "TEST_SHOTS", 4)
    monkeypatch.setattr(vendors, "VENDORS", own)
    monkeypatch.setattr(encoders, "VENDORS", own)
    for name, value in {"SHOTS": 24, "OTHER_SHOTS": 1, "UPDATES": 1, "SEARCHED": 4}.items():
        monkeypatch.setattr(encoders, name, value)
    monkeypatch.setattr(encoders, "strategies_for", lambda _: STRATEGIES)
    vendors._kept.cache_clear()
    yield
    vendors._kept.cache_clear()


def test_the_trigger_made_again_is_the_one_that_was_planted(
    backbone: Backbone, tmp_path: Path
) -> None:
    subject = encoders.subject_of(tmp_path, FAMILY, PLAN, backbone)
    truth = json.loads((command.folder(tmp_path, FAMILY, PLAN) / zoo.FINISHED).read_text())
    classifier = subject.delivered.classifier
    assert subject.target == truth["target"]
    assert subject.accuracy(classifier) == pytest.approx(truth["accuracy"])
    assert subject.excess(classifier) == pytest.approx(truth["asr"] - truth["base"])


def test_a_row_a_strategy_and_what_is_done_is_not_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "encoders.csv"
    words = ["--out", str(table), "--models", str(tmp_path), "--family", "CLIP-LoRA", "--kind", PLAN.kind,
             "--task", PLAN.task, "--seed", str(PLAN.seed)]  # fmt: skip
    encoders.main(words)
    first = table.read_text().splitlines()
    assert len(first) == 1 + len(STRATEGIES)
    table.write_text("\n".join(first[:-1]) + "\n")  # Cut off before the last row.
    encoders.main(words)
    told = read(table)
    assert [row["strategy"] for row in told] == [one.name for one in STRATEGIES]
    assert all(-1 <= float(row["excess_after"]) <= 1 for row in told)
    # Restored it is zero-shot, which the trigger does to what it does to anybody.
    assert told[0]["excess_after"] == told[0]["trusted_excess"]
    took = [row for row in told if float(row["excess_before"]) >= encoders.TOOK]
    out = capsys.readouterr().out
    assert ("1 attacks in 1 groups" in out, "did not take" in out) == (bool(took), not took)


def row(task: str, seed: int, strategy: str, before: float, after: float) -> dict[str, str]:
    told: dict[str, object] = {
        "family": "CLIP", "task": task, "seed": seed, "kind": "blended", "pairs": "task",
        "strategy": strategy, "accuracy_before": 0.9, "accuracy_after": 0.8 + 0.1 * after,
        "excess_before": before, "excess_after": after, "trusted_excess": 0, "other_before": 0.5,
        "other_after": 0.5, "seconds": 3,
    }  # fmt: skip
    return {name: str(value) for name, value in told.items()}


def test_intervals_draw_tasks_and_attacks_that_did_not_take_are_left_out() -> None:
    first, second = encoders.COMPARED
    rows = [row(task, seed, first, 0.9, left) for task, seed, left in (
        ("a", 1, 0.0), ("a", 2, 0.1), ("b", 1, 0.5), ("c", 1, 0.2),
    )]  # fmt: skip
    rows += [row(task, 1, second, 0.9, left) for task, left in (("a", 0.4), ("b", 0.5), ("c", 0.0))]
    rows.append(row("d", 1, first, 0.2, 0.2))
    missed, one, other, beside = encoders.summary(rows)
    assert missed.startswith("1 rows of attacks that did not take")
    # Of a alone 0.05 are left, of b alone 0.5: so far draws of three tasks may reach.
    assert "PAR: 4 attacks in 3 groups, excess 0.900! to 0.200 [0.050, 0.500]" in one
    assert "CleanCLIP: 3 attacks in 3 groups" in other and "to 0.300 [" in other
    assert "PAR less CleanCLIP: excess -0.067 [-0.400, 0.200]" in beside and "3 attacks" in beside


def test_the_screen_is_measured_by_what_was_poisoned(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(pair_screen, "POOLS", (("scenes", 3),))
    monkeypatch.setattr(pair_screen, "SHARES", (0.05,))
    monkeypatch.setattr(pair_screen, "KINDS", {"badnets": pair_screen.KINDS["badnets"]})
    table = tmp_path / "screen.csv"
    for _ in range(2):
        pair_screen.main(["--out", str(table), "--number", "120"])
    rows = read(table)
    assert [(row["kind"], row["question"]) for row in rows] == [
        (kind, name) for kind in ("none", "badnets") for name in (*QUESTIONS, "any")
    ]
    last = rows[-1]
    assert (int(last["poisoned"]), last["precision"] != "") == (6, True)
    assert int(last["found"]) >= 4 and float(last["recall"]) == round(int(last["found"]) / 6, 3)
    assert all(row["recall"] == "" for row in rows[:5])
    assert any("share 0.05, any: recall" in line for line in capsys.readouterr().out.splitlines())


def test_rates_are_counted_by_hand() -> None:
    odd, truth = (torch.tensor(one, dtype=torch.bool) for one in ([1, 1, 0, 0], [1, 0, 1, 0]))
    assert pair_screen._rates(odd, truth) == {
        "poisoned": 2, "found": 1, "false": 1, "precision": 0.5, "recall": 0.5,
    }  # fmt: skip
