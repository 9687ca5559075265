"""Scores of other rules from reports: whose units, which models, which effects."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from inspector.detection.rule import current
from tests.bench.replay import WEIGHTS, main, read, scores


def _report(folder: Path, kind: str, gain: float, bias: float = 0.0) -> None:
    """A model whose class 2 alone gains probability."""
    quiet = {"asr_gain": 0.1, "prob_gain": 0.0, "text_feature_shift": 0.1}
    loud = quiet | {"prob_gain": gain}
    row: dict[str, Any] = {"other_triggers": quiet, "own_trigger": None}
    classes = [
        row
        | {
            "random_triggers": {"warp": loud if c == 2 else quiet, "blend": quiet},
            "clean_prediction_bias": bias if c == 2 else -bias / 5,
        }
        for c in range(6)
    ]
    (folder / "standard").mkdir(exist_ok=True)
    (folder / "standard" / f"{kind}.json").write_text(json.dumps({"per_class": classes}))
    table = folder / "standard.csv"
    is_new = not table.exists()
    task, seed, name = kind.split("-")
    took = {"clean": "", "blended": "True", "wanet": "False"}[name]
    with table.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["task", "seed", "kind", "took"])
        writer.writerow([task, seed, name, took])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, gain in enumerate((0.01, 0.02, 0.03)):
        _report(tmp_path, f"a-{seed}-clean", gain)
        _report(tmp_path, f"b-{seed}-clean", 2 * gain)
    _report(tmp_path, "a-9-blended", 0.5)
    _report(tmp_path, "b-9-blended", 0.4)
    _report(tmp_path, "a-9-wanet", 0.9)
    return tmp_path


def test_units_are_those_of_other_tasks(folder: Path) -> None:
    models = read(folder)
    assert len(models) == 8  # The attack that did not take is none of them.
    without_own = [m for m in models if not (m.task == "a" and m.is_clean)]
    again = dict(zip(map(id, without_own), scores(without_own, WEIGHTS["prob_gain"]), strict=True))
    before = dict(zip(map(id, models), scores(models, WEIGHTS["prob_gain"]), strict=True))
    (blended,) = (m for m in models if (m.task, m.is_clean) == ("a", False))
    assert again[id(blended)] == before[id(blended)] > 2


def test_the_bias_is_added_as_in_the_rule(folder: Path) -> None:
    _report(folder, "c-1-blended", 0.4)
    _report(folder, "c-2-blended", 0.4, bias=0.1)
    models = read(folder)
    second, first = scores(models, WEIGHTS["prob_gain"])[-2:]
    assert first - second == pytest.approx(0.1 / current().bias.unit)


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder)])
    out = capsys.readouterr().out
    assert "2 attacked and 6 clean models" in out
    assert "| prob_gain | 1.000 | 2 of 2 |" in out
    assert "| asr_gain | 0.500 | 0 of 2 |" in out


def test_too_few_models_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _report(tmp_path, "a-1-clean", 0.1)
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "0 attacked, 1 clean" in capsys.readouterr().err
