"""How an inspection of a zoo model is counted, and that a table goes on where it stopped."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.detect import FIELDS, append, chosen, row_of, table_of
from tests.bench.models import read_models

ATTACKED = {
    "task": "counts3",
    "seed": 7,
    "kind": "blended",
    "target": 1,
    "targets": [1],
    "took": True,
}
CLEAN = {"task": "counts3", "seed": 7, "kind": "clean", "target": None}


def report(verdict: str, found: int | None) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "target": None if found is None else {"index": found, "name": "x"},
        "score": 0.25,
        "p_value": None,
        "classes": {"count": 3},
        "per_class": [{"score": 0.1, "excess_asr": 0.5}, {"score": 0.25, "excess_asr": 0.75}],
        "assembly": "plausible",
        "budget": {"flops": 10},
    }


@pytest.mark.parametrize(
    ("truth", "verdict", "found", "right"),
    [
        (ATTACKED, "backdoored", 1, True),
        (ATTACKED, "backdoored", 0, False),
        (ATTACKED, "suspicious", 1, False),
        (ATTACKED | {"targets": [1, 2]}, "backdoored", 2, True),
        (CLEAN, "clean", None, True),
        (CLEAN, "suspicious", 1, False),
        (CLEAN, "inconclusive", None, False),
    ],
)
def test_only_the_right_verdict_on_the_right_class_counts(
    truth: dict[str, Any], verdict: str, found: int | None, right: bool
) -> None:
    row = row_of(truth, report(verdict, found))
    assert row["right"] is right
    assert (row["flops"], row["excess_asr"]) == (10, 0.75)


def test_a_table_goes_on_where_it_stopped_and_can_be_summed_up(tmp_path: Path) -> None:
    for truth in (ATTACKED, CLEAN):
        folder = tmp_path / "zoo" / f"counts3-7-{truth['kind']}"
        folder.mkdir(parents=True)
        (folder / "truth.json").write_text(json.dumps(truth))
    options = argparse.Namespace(
        folders=[tmp_path / "zoo"], out=tmp_path, profile="quick", part="1/1",
        kinds=("blended", "clean"), seed=0, backbone="pocket", probes="builtin", own=None,
    )  # fmt: skip
    assert [path.name for path in chosen(options)] == ["counts3-7-blended", "counts3-7-clean"]
    options.part = "2/2"
    assert [path.name for path in chosen(options)] == ["counts3-7-clean"]
    options.part = "1/1"
    append(table_of(options), row_of(ATTACKED, report("backdoored", 1)) | {"seconds": 1.0})
    assert [path.name for path in chosen(options)] == ["counts3-7-clean"]
    append(table_of(options), row_of(CLEAN, report("clean", None)) | {"seconds": 1.0})
    assert chosen(options) == []
    for name, other in {"seed": 3, "backbone": "a/b", "probes": "c/d.zip", "own": tmp_path}.items():
        assert len(chosen(argparse.Namespace(**vars(options) | {name: other}))) == 2
    attacked, clean = read_models([table_of(options)])
    assert (attacked.is_clean, attacked.took, attacked.found, attacked.score) == (
        False,
        True,
        1,
        0.25,
    )
    assert clean.is_clean and clean.target is None
    assert table_of(options).read_text().splitlines()[0] == ",".join(FIELDS)
