"""Scores of other rules from reports: whose units, which models, which effects."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from inspector.detection.score import LEANING
from tests.bench.replay import WEIGHTS, main, read, scores


def _report(folder: Path, kind: str, flow: float, leaning: float | None = None) -> None:
    """A model whose class 2 alone is flowed to; older reports know of no leaning."""
    quiet = {"won": 0.1, "flow": 0.0, "shift": 0.1}
    loud = quiet | {"flow": flow}
    row: dict[str, Any] = {"others": quiet, "own": None}
    classes = [
        row | {"stock": {"warp": loud if c == 2 else quiet, "blend": quiet}} for c in range(6)
    ]
    if leaning is not None:
        for c, one in enumerate(classes):
            one["leaning"] = leaning if c == 2 else -leaning / 5
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
    for seed, flow in enumerate((0.01, 0.02, 0.03)):
        _report(tmp_path, f"a-{seed}-clean", flow)
        _report(tmp_path, f"b-{seed}-clean", 2 * flow)
    _report(tmp_path, "a-9-blended", 0.5)
    _report(tmp_path, "b-9-blended", 0.4)
    _report(tmp_path, "a-9-wanet", 0.9)
    return tmp_path


def test_units_are_those_of_other_tasks(folder: Path) -> None:
    models = read(folder)
    assert len(models) == 8  # The attack that did not take is none of them.
    without_own = [m for m in models if not (m.task == "a" and m.is_clean)]
    again = dict(zip(map(id, without_own), scores(without_own, WEIGHTS["flow"]), strict=True))
    before = dict(zip(map(id, models), scores(models, WEIGHTS["flow"]), strict=True))
    (blended,) = (m for m in models if (m.task, m.is_clean) == ("a", False))
    assert again[id(blended)] == before[id(blended)] > 2


def test_leaning_is_added_as_in_the_rule(folder: Path) -> None:
    _report(folder, "c-1-blended", 0.4)
    _report(folder, "c-2-blended", 0.4, leaning=0.1)
    models = read(folder)
    second, first = scores(models, WEIGHTS["flow"])[-2:]
    assert first - second == pytest.approx(0.1 / LEANING)


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder)])
    out = capsys.readouterr().out
    assert "2 attacked and 6 clean models" in out
    assert "| flow | 1.000 | 2 of 2 |" in out
    assert "| won | 0.500 | 0 of 2 |" in out


def test_too_few_models_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _report(tmp_path, "a-1-clean", 0.1)
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "0 attacked, 1 clean" in capsys.readouterr().err
