"""Order, shares and resumption of the long build, and a small one through its command line."""

from __future__ import annotations

import json
import sys
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import load_backbone
from tests.zoo import build as zoo
from tests.zoo import make
from tests.zoo.build import Effort, Plan
from tests.zoo.kinds import DEAR
from tests.zoo.plan import PLAN, entries
from tests.zoo.tasks import TASKS
from tests.zoo.train_pocket import POCKET, SECOND_POCKET

FEW = ["--split", "design", "--task", "counts3", "--seed", "1001", "--kind", "clean", "blended"]


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make", *arguments])
    make.main()


def test_an_unfinished_run_covers_all_tasks_and_kinds_but_the_dear_ones() -> None:
    order = make.ordered(entries("set-aside"))
    assert sorted(map(str, order)) == sorted(map(str, entries("set-aside")))
    first = [entry for entry in order if entry.seed == 3001 and entry.kind not in DEAR]
    assert order[: len(first)] == first
    assert {e.task for e in first} == {e.task for e in order if e.backbone == "pocket"}
    dear = [entry.kind in DEAR for entry in order]
    assert dear == sorted(dear)


def test_splits_are_built_in_their_order() -> None:
    splits = [entry.split for entry in make.ordered(reversed(PLAN))]
    assert list(dict.fromkeys(splits)) == ["design", "calibration", "set-aside"]
    assert sum(a != b for a, b in pairwise(splits)) == 2


@pytest.mark.parametrize("number", [1, 2, 3])
def test_parts_divide_the_models_but_no_task_and_seed(number: int) -> None:
    order = make.ordered(PLAN)
    parts = [make.part(order, index, number) for index in range(1, number + 1)]
    assert sorted(map(str, chain(*parts))) == sorted(map(str, order))
    pairs = [{(e.task, e.seed) for e in part} for part in parts]
    assert sum(map(len, pairs)) == len(set.union(*pairs))
    sizes = [len(part) for part in parts]
    assert min(sizes) > 0.7 * max(sizes)


@pytest.fixture
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "USUAL", Effort(8, 8))
    monkeypatch.setattr(zoo, "TEST_SHOTS", 6)
    zoo._clean_model.cache_clear()


@pytest.mark.usefixtures("little_effort")
def test_a_build_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, str(tmp_path), *FEW)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 models" and lines[1].startswith("counts3-1001-clean")
    assert lines[-1] in ("1 clean, 1 took", "1 clean, 1 not taken") and len(lines) == 4
    clean, attacked = (tmp_path / f"counts3-1001-{kind}" for kind in ("clean", "blended"))
    beside_the_saved = json.loads((attacked / "truth.json").read_text())
    alone = zoo.build(load_backbone("pocket"), Plan("counts3", "blended", 1001)).truth
    assert beside_the_saved.pop("seconds") > 0
    assert beside_the_saved.pop("made_with") == make.made_with()
    assert beside_the_saved == alone and alone["kind"] == "blended"
    (attacked / "truth.json").unlink()
    written = (clean / "truth.json").stat().st_mtime_ns
    _run(monkeypatch, str(tmp_path), *FEW)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].startswith("counts3-1001-blended")
    assert (clean / "truth.json").stat().st_mtime_ns == written
    zoo._clean_model.cache_clear()


def test_what_is_not_built_is_counted(tmp_path: Path) -> None:
    chosen = entries("design", kind="blended")
    assert make.outcomes(tmp_path, chosen) == {"not built": len(chosen)}


@pytest.mark.parametrize("share", ["0/2", "3/2", "2", "x/y"])
def test_a_share_must_exist(
    share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _run(monkeypatch, str(tmp_path), "--part", share)
    assert "--part" in capsys.readouterr().err


def test_a_backbone_of_the_shared_folder_is_taken_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backbones" / "lit").mkdir(parents=True)
    asked: list[str] = []
    monkeypatch.setattr("tests.zoo.make.SHARED", tmp_path)
    monkeypatch.setattr("tests.zoo.make.load_backbone", lambda name, _: asked.append(name))
    for name in ("lit", "pocket"):
        make.backbone_named.__wrapped__(name)
    assert asked == [str(tmp_path / "backbones" / "lit"), "pocket"]


@torch.no_grad()
def test_the_second_pocket_is_another_architecture_with_a_picture_size_of_its_own() -> None:
    first, second = make.backbone_named(POCKET), make.backbone_named(SECOND_POCKET)
    assert first.sha256 != second.sha256
    assert (first.image_size, second.image_size) == (48, 64)
    assert {type(first.model.visual).__name__, type(second.model.visual).__name__} == {
        "VisionTransformer", "ModifiedResNet",
    }  # fmt: skip
    task = TASKS["places5"]
    pixels, labels = task.draw(8, torch.Generator().manual_seed(1), second.image_size)
    guesses = (second.image_features(pixels) @ second.zero_shot(task.classnames).T).argmax(1)
    assert (guesses == labels).float().mean() > 0.8
