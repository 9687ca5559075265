"""A few hundred parcels by chance; ``make witness`` runs 100,000."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import readers
from tests.witness import __main__ as command
from tests.witness import campaign, mutations
from tests.witness.parcels import Parcel

_FILES, _COMPARED = 200, 30


def test_what_loaders_take_is_judged_or_not_clean() -> None:
    parcels = [mutations.parcel(Random(f"suite/{i}")) for i in range(_FILES)]
    results = list(campaign.run(parcels))
    kinds = Counter(result.kind for result in results)
    assert [result.disagreement for result in results if result.disagreement] == []
    assert kinds["judged the same"] >= _COMPARED
    assert sum(result.is_readable for result in results) >= _FILES / 3


def test_mutated_bytes_are_read_as_torch_reads_them() -> None:
    rng = Random(4)
    corpus = readers.seeds()[:3]
    parcels = [Parcel({"m.pth": readers.mutate(rng.choice(corpus), rng, 8192)}) for _ in range(100)]
    results = list(campaign.run(parcels))
    assert [result.disagreement for result in results if result.disagreement] == []
    assert sum(result.kind == "judged the same" for result in results) >= 5


def test_a_parcel_depends_on_its_numbers_alone() -> None:
    first, second = (mutations.parcel(Random("same")) for _ in range(2))
    assert first.is_folder == second.is_folder
    assert {n: len(data) for n, data in first.files.items()} == {
        n: len(data) for n, data in second.files.items()
    }


def test_the_long_form_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_BATCH", 5)
    for runs in ("5", "10"):
        monkeypatch.setattr(
            "sys.argv", ["witness", "--runs", runs, "--seed", "3", "--state", str(tmp_path)]
        )
        assert command.main() == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("10 files: ")
