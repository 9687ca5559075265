"""Building a set: order, shares, resumption, and hours planned beside hours used."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from tests.zoo import build as zoo
from tests.zoo import make_sets
from tests.zoo.build import Effort
from tests.zoo.kinds import DEAR
from tests.zoo.sets import FIRST_SEEDS, SETS
from tests.zoo.train_pocket import POCKET

SEED = FIRST_SEEDS["exam", POCKET]


def test_a_twin_is_built_before_what_is_held_beside_it() -> None:
    order = make_sets.ordered(SETS)
    place = {(m.twin, m.kind): row for row, m in enumerate(order)}
    attacks = [m for m in order if m.is_backdoored]
    assert attacks and all(place[m.twin, "clean"] < place[m.twin, m.kind] for m in attacks)
    dear = [m.kind in DEAR for m in order]
    assert dear == sorted(dear) and sorted(map(str, order)) == sorted(map(str, SETS))


def test_shares_divide_a_part_but_no_twin() -> None:
    shares = [
        make_sets.chosen(make_sets._options(["out", "--part", "exam", "--share", f"{i}/3"]))
        for i in (1, 2, 3)
    ]
    exam = [m for m in SETS if m.part == "exam"]
    assert sorted(map(str, chain(*shares))) == sorted(map(str, exam))
    twins = [{(m.task, m.seed) for m in share} for share in shares]
    assert sum(map(len, twins)) == len(set.union(*twins))


def test_a_build_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "USUAL", Effort(8, 8))
    monkeypatch.setattr(zoo, "TEST_SHOTS", 6)
    zoo._clean_model.cache_clear()
    few = [str(tmp_path), "--part", "exam", "--backbone", POCKET, "--task", "sizes2",
           "--seed", str(SEED), "--kind", "clean", "sinusoid", "longtail"]  # fmt: skip
    make_sets.main(few)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 of 3 models") and len(lines) == 6
    assert lines[1].startswith(f"sizes2-{SEED}-clean")
    assert "hours used" in lines[-2] and "2 clean" in lines[-1]
    (tmp_path / f"sizes2-{SEED}-longtail" / "truth.json").unlink()
    make_sets.main(few)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 of 3 models") and len(lines) == 4
    zoo._clean_model.cache_clear()
