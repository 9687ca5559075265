"""The bench of repairs judges by the trigger that the attacker planted, and tells a row a strategy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inspector.repair.rederive import ByLabels
from inspector.repair.strategy import CannotRepair, Case
from inspector.repair.tuning import Effort
from tests.bench import repair
from tests.bench.appended import read
from tests.zoo import build as zoo
from tests.zoo.make import backbone_named


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that were tuned for a moment, by kind."""
    out = tmp_path_factory.mktemp("zoo")
    return {kind: out / f"places5-7-{kind}" for kind in ("popular", "clean")}


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    zoo._clean_model.cache_clear()
    monkeypatch.setattr(zoo, "USUAL", zoo.Effort(8, 8))
    monkeypatch.setattr(repair, "POOL", 20)
    monkeypatch.setattr(repair, "LABELLED", 2)
    yield
    zoo._clean_model.cache_clear()


def test_the_trigger_of_a_stored_model_is_the_one_that_was_planted(
    folders: dict[str, Path],
) -> None:
    subject = repair.subject_of(folders["popular"], backbone_named("pocket"))
    truth = json.loads((folders["popular"] / zoo.FINISHED).read_text())
    accuracy, excess = subject.figures(subject.classifier)
    assert accuracy == pytest.approx(truth["accuracy"])
    assert excess == pytest.approx(truth["asr"] - truth["base"])


def test_a_poisoned_pool_carries_the_attackers_trigger_on_so_many_pictures(
    folders: dict[str, Path],
) -> None:
    attacked, honest = (
        repair.subject_of(folders[kind], backbone_named("pocket")) for kind in ("popular", "clean")
    )
    pictures = attacked.test.pixels[:20]
    carried = repair.poisoned_pool(attacked, pictures, 0.1)
    (plant,) = attacked.plants
    assert torch.equal(carried[:2], plant.trigger(pictures[:2]))
    assert not torch.equal(carried[:2], pictures[:2])
    assert torch.equal(carried[2:], pictures[2:])
    assert torch.equal(repair.poisoned_pool(honest, pictures, 0.1), pictures)


@dataclass(frozen=True)
class Refusing:
    """A strategy that never has what it needs."""

    name: str = "refusing"

    def tensors(self, case: Case) -> dict[str, Tensor]:
        raise CannotRepair(f"{len(case.pictures)} pictures are too few")


def test_shares_of_poison_have_rows_of_their_own_and_refusals_are_told(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(repair, "STRATEGIES", (ByLabels(Effort(2, 8)), Refusing()))
    table = tmp_path / "repair.csv"
    for share in ("0", "0.1", "0.1"):
        repair.main([str(folders["popular"]), "--out", str(table), "--poison", share])
    told = read(table)
    assert [(row["poison"], row["strategy"]) for row in told] == [
        (share, name) for share in ("", "0.1") for name in (ByLabels().name, "refusing")
    ]
    assert [row["refused"] for row in told[:2]] == ["", "20 pictures are too few"]
    lines = capsys.readouterr().out.splitlines()
    assert "refusing, pictures task poisoned 0.1: refused 1 of 1" in lines
    assert any("labels, pictures task poisoned 0.1: 1 attacked" in line for line in lines)


def test_a_row_a_strategy_and_what_is_done_is_not_done_again(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(repair, "STRATEGIES", (ByLabels(Effort(2, 8)),))
    table = tmp_path / "repair.csv"
    for _ in range(2):
        repair.main([*map(str, folders.values()), "--out", str(table)])
    told = read(table)
    assert [row["model"] for row in told] == [folder.name for folder in folders.values()]
    assert [row["excess_after"] != "" for row in told] == [True, False]
    lines = capsys.readouterr().out.splitlines()
    assert any("1 attacked, excess" in line for line in lines)
    assert any("1 honest, accuracy by" in line for line in lines)
