"""The rule's file: every table says where it comes from, and what it names is in the repository."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from inspector.detection import random_triggers
from inspector.detection.rule import CURRENT, MOST_SWEEPS, RULES, current, read
from inspector.profiles import POCKET, RANDOM

BENCH = Path(__file__).parents[3] / "bench"
FILES = sorted(RULES.glob("*.json"))
PROVENANCE = {"says", "quantile", "models", "experiments", "attacks_seen", "source", "values"}


def tables() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (file.stem, name, table)
        for file in FILES
        for name, table in json.loads(file.read_text("utf-8"))["tables"].items()
    ]


def test_the_current_rule_is_that_of_the_statistic_and_every_file_is_called_by_its_id() -> None:
    assert current().id == CURRENT == RANDOM
    for file in FILES:
        data = json.loads(file.read_text("utf-8"))
        assert data["id"] == file.stem
        assert data.keys() >= {"statistic", "commit", "backbone", "set_on"}
        assert data["backbone"] == "any" or len(data["backbone"]) == len(POCKET)


@pytest.mark.parametrize(("rule", "name", "table"), tables())
def test_a_table_tells_its_quantile_models_source_and_experiments(
    rule: str, name: str, table: dict[str, Any]
) -> None:
    assert table.keys() == PROVENANCE
    assert table["says"] and table["experiments"] and table["values"]
    assert isinstance(table["attacks_seen"], bool)
    assert table["quantile"] is None or 0 < table["quantile"] < 1
    # What is no choice of form was measured on models, which some table of ours lists.
    assert table["models"] is None or table["source"]
    there = {sha256(path.read_bytes()).hexdigest(): path.name for path in BENCH.rglob("*.csv*")}
    for source in table["source"]:
        assert there.get(source["sha256"]) == source["file"]
    for number in table["experiments"]:
        assert list((BENCH / "experiments").glob(f"{number:02d}-*.md")), number


def test_quantiles_are_of_all_families_and_of_every_number_of_sweeps() -> None:
    rule = current()
    families = {*random_triggers.SHARES, "own", "others"}
    for null in (rule.null_q95, rule.null_q95_prob_gain, rule.null_q95_in_distribution):
        assert null.keys() == families
    assert rule.null_q90_static.keys() == set(random_triggers.SHARES)
    assert {len(of) for of in rule.null_q95_three_classes.values()} == {MOST_SWEEPS}
    assert rule.conditioned.max_sweeps == MOST_SWEEPS


def test_another_file_is_another_rule(tmp_path: Path) -> None:
    data = json.loads(FILES[0].read_text("utf-8"))
    data["id"] = "other"
    data["tables"]["static"]["values"]["flag"] = 7.5
    (tmp_path / "other.json").write_text(json.dumps(data))
    other = read(tmp_path / "other.json")
    assert (other.id, other.static.flag) == ("other", 7.5)
    assert other.null_q95 == current().null_q95
    del data["tables"]["null_q95"]
    (tmp_path / "other.json").write_text(json.dumps(data))
    with pytest.raises(KeyError, match="null_q95"):
        read(tmp_path / "other.json")
