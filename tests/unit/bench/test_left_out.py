"""Units and threshold that a task's own models have no part in."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.bench.left_out import bar_from, is_right, main, read

GAINS = (0.01, 0.02, 0.03)


def _inspected(table: Path, name: str, gain: float, verdict: str = "clean") -> None:
    """A model of six classes, the third of which gains probability; attacks are meant for it."""
    quiet = {"asr_gain": 0.0, "prob_gain": 0.0, "text_feature_shift": 0.0}
    nothing_found = {"own_trigger": None, "other_triggers": quiet}
    classes = [
        nothing_found
        | {"random_triggers": {"warp": quiet | {"prob_gain": gain * (c == 2)}, "blend": quiet}}
        for c in range(6)
    ]
    table.with_suffix("").mkdir(exist_ok=True)
    (table.with_suffix("") / f"{name}.json").write_text(json.dumps({"per_class": classes}))
    task, seed, kind = name.split("-")
    took, targets = {"clean": ("", ""), "blended": ("True", "2"), "wanet": ("False", "2")}[kind]
    is_new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["task", "seed", "kind", "took", "targets", "verdict"])
        writer.writerow([task, seed, kind, took, targets, verdict])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    table = tmp_path / "standard-own.csv"
    for seed, gain in enumerate(GAINS):
        _inspected(table, f"a-{seed}-clean", gain)
        _inspected(table, f"b-{seed}-clean", 2 * gain)
    return table


def test_a_task_sets_no_bar_for_itself(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """b's clean models lead twice as far as a's: by a's bar two are accused, by one they share the first."""
    main([str(table)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("| 0 of 0 | 0 of 3 |")
    assert lines[3].endswith("| 0 of 0 | 2 of 3 |")
    assert lines[4].endswith("| 0 of 0 | 2 of 6 |")
    models = read(table)
    all_of_them = bar_from(models)
    accused = [model for model in models if not is_right(model, all_of_them)]
    assert [model.task for model in accused] == ["b"]


def test_attacks_count_for_their_target_only(table: Path) -> None:
    _inspected(table, "c-1-blended", 0.5)
    _inspected(table, "c-2-blended", 0.001)
    _inspected(table, "c-3-wanet", 0.5)
    *clean, found, missed = read(table)
    bar = bar_from(clean)
    assert is_right(found, bar)
    assert not is_right(missed, bar)


def test_inconclusive_models_are_wrong(table: Path) -> None:
    _inspected(table, "c-1-clean", 0.0, verdict="inconclusive")
    _inspected(table, "c-2-blended", 0.5, verdict="inconclusive")
    *clean, honest, attacked = read(table)
    bar = bar_from(clean)
    assert not is_right(honest, bar)
    assert not is_right(attacked, bar)


def test_one_task_alone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _inspected(tmp_path / "standard-own.csv", "a-1-clean", 0.1)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "standard-own.csv")])
    assert "at least two tasks" in capsys.readouterr().err
