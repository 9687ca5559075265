"""The table over rows whose figures can be counted by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.estimates import share, wilson
from tests.exam.__main__ import main
from tests.exam.parts import Part, sections
from tests.exam.rows import Row, append
from tests.exam.table import FEWEST, HEADER, OUTSIDE, joined, page, page_against
from tests.unit.exam.making import HIT, ROW
from tests.zoo.kinds import ATTACKS, FAMILIES
from tests.zoo.plan import PHOTO_BACKBONE
from tests.zoo.train_pocket import SECOND_POCKET

MISS = replace(HIT, verdict="suspicious", score=0.9)
ALARM = replace(ROW, verdict="inconclusive", found=None, score=None)


def over(tasks: str, *rows: Row) -> list[Row]:
    """Each of the rows for every task, each under a seed of its own."""
    return [replace(row, task=task, seed=seed) for task in tasks for seed, row in enumerate(rows)]


def parts_of(rows: Iterable[Row]) -> dict[str, Part]:
    return {part.name.strip(): part for one in sections(list(rows)) for part in one.parts}


def line(text: str, name: str, number: int = 0) -> dict[str, list[str]]:
    """The cells of the `number`-th line of that name, by their column."""
    lines = [row for row in text.splitlines() if row.startswith(f"| {name} |")]
    cells = lines[number].strip("| ").split(" | ")[1:]
    found: dict[str, list[str]] = {}
    for column, cell in zip(HEADER[1:], cells, strict=True):
        found.setdefault(column, []).append(cell)
    return found


def test_shares_and_auroc_are_those_of_the_rows() -> None:
    rows = over("abcde", HIT, MISS, ROW, ALARM)
    cells = line(page(rows), "all")
    assert (cells["attacks"], cells["honest"]) == (["10"], ["10"])
    assert (cells["found and named"], cells["not cleared"]) == (["5 of 10"], ["5 of 10"])
    # An alarm without a score ranks before every attack: half of all pairs are lost.
    assert cells["AUROC"] == ["0.500!"]
    low, high = wilson(5, 10)
    assert cells["Wilson"] == [f"[{low:.3f}, {high:.3f}]"] * 2


def test_intervals_are_drawn_by_task() -> None:
    """Tasks that err as one tell less than as many models that err by themselves."""
    rows = over("abc", *[HIT] * 6) + over("def", *[MISS] * 6) + over("abcdef", *[ROW] * 2)
    cells = line(page(rows), "all")
    attacks = [row for row in rows if row.is_backdoored]
    expected = share(attacks, lambda row: row.is_named)
    assert cells["share, by task"][0] == str(expected)
    low, high = wilson(18, 36)
    assert expected.low is not None and expected.high is not None
    assert expected.low < low - 0.05 and expected.high > high + 0.05


def test_few_tasks_have_no_interval_by_task() -> None:
    rows = over("abcdefg"[: FEWEST - 1], HIT, MISS, ROW)
    cells = line(page(rows), "all")
    assert cells["share, by task"] == ["0.500", "0.000"] and "[" not in cells["AUROC"][0]


def test_attacks_are_told_apart_by_strength() -> None:
    took = [replace(HIT, excess=excess) for excess in (0.5, 0.69, 0.7, 0.89, 0.9, 1.0)]
    weak = [replace(MISS, took=False, excess=excess) for excess in (0.2, 0.49)]
    faint = [replace(HIT, took=False, excess=excess) for excess in (0.19, -0.1)]
    spoilt = [replace(HIT, took=False, excess=0.8)]
    rows = over("abcde", *took, *weak, *faint, *spoilt, ROW)
    parts = parts_of(rows)
    sizes = {
        name: len(part.attacked) for name, part in parts.items() if "take" in name or "took" in name
    }
    assert sizes == {
        "took, excess 0.5 to 0.7": 10, "took, excess 0.7 to 0.9": 10, "took, excess 0.9 to 1": 10,
        "did not take, excess 0.2 to 0.5": 10, "did not take, accuracy lost": 5,
    }  # fmt: skip
    text = page(rows)
    assert line(text, "did not take, excess 0.2 to 0.5")["found and named"] == ["0 of 10"]
    assert line(text, "all")["attacks"] == ["30"], "what did not take counts neither way"
    assert text.splitlines()[-1] == "| blended | 30 | 5 | 10 | 10 |"


def test_attacks_are_held_against_all_honest_models_and_recipes_against_all_attacks() -> None:
    stepped = replace(ALARM, kind="stepped")
    rows = over("abcde", HIT, replace(MISS, kind="dct"), ROW, stepped)
    text, parts = page(rows), parts_of(rows)
    assert line(text, "dct")["found and named"] == ["0 of 5"]
    assert line(text, "dct")["honest"] == ["10"] and line(text, "dct")["not cleared"] == ["–"]
    assert line(text, "stepped")["not cleared"] == ["5 of 5"]
    assert line(text, "stepped")["attacks"] == ["10"]
    assert {row.kind for row in parts["frequency"].attacked} == {"dct"}


def test_what_is_set_aside_stands_by_itself() -> None:
    rows = [
        *over("abcde", HIT, ROW), replace(HIT, kind="sinusoid_noise"), replace(ROW, kind="mixup"),
        replace(HIT, task="myntra14", backbone=PHOTO_BACKBONE, classes=14),
        replace(ROW, task="corners6", backbone=SECOND_POCKET),
    ]  # fmt: skip
    sizes = {name: (len(part.attacked), len(part.clean)) for name, part in parts_of(rows).items()}
    assert sizes["attacks set aside"] == (1, 7) and sizes["recipes set aside"] == (7, 1)
    assert sizes["tasks set aside"] == (1, 1) and sizes["backbone set aside"] == (0, 1)
    assert sizes["anything set aside"] == (2, 2) and sizes["nothing set aside"] == (5, 5)
    assert sizes["pocket"] == (6, 6) and sizes[PHOTO_BACKBONE] == (1, 0)
    assert sizes["14 classes"] == (1, 0)


def test_every_attack_has_a_family() -> None:
    assert set(ATTACKS) <= set(FAMILIES)


def test_the_outsiders_line_stands_beside() -> None:
    cells = line(page(over("abcde", HIT, ROW)), "*an outsider, on other models*")
    assert cells["found and named"] == ["15 of 25"] and cells["not cleared"] == ["4 of 43"]
    assert cells["share, by task"] == ["0.600", "0.093"]
    assert OUTSIDE == ((15, 25), (4, 43))


def test_a_baseline_is_compared_on_the_models_of_both() -> None:
    ours = over("abcde", HIT, ROW) + over("f", HIT)
    theirs = [
        replace(row, method="karm", rule="karm", score=0.5, verdict="backdoored", found=2)
        for row in ours[:-1]
    ]
    text = page_against(ours, theirs)
    (cells,) = [row.split(" | ") for row in text.splitlines() if row.startswith("| all |")]
    assert cells[1:5] == ["5", "5", "1.000", "0.500"] and cells[5].startswith(
        "0.500 [0.500, 0.500]"
    )
    assert [cell.strip("| ") for cell in cells[7:]] == ["5 of 5", "5 of 5", "0 of 5", "5 of 5"]
    assert "`karm`" in text


def test_a_model_in_two_tables_is_told() -> None:
    with pytest.raises(ValueError, match="in two tables"):
        joined([[ROW, HIT], [replace(ROW, score=1.0)]])


def test_the_command_prints_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    for row in over("abcde", HIT, ROW):
        append(first, row)
        append(second, replace(row, method="paper", rule="paper"))
    assert main(["table", str(first)]) == 0
    assert line(capsys.readouterr().out, "all")["found and named"] == ["5 of 5"]
    assert main(["table", str(first), "--against", str(second)]) == 0
    assert "Against: 10 models. `paper`" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no such table"):
        main(["table", str(tmp_path / "third.csv")])
