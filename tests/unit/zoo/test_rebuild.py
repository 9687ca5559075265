"""The same plan gives the same tensors in another process with another past, and a digest tells other tensors apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.zoo import build as zoo
from tests.zoo import make, rebuild, records
from tests.zoo.build import Effort
from tests.zoo.digest import checkpoint_in, digest, digest_in
from tests.zoo.sets import SETS
from tests.zoo.train_pocket import POCKET

CLEAN = replace(
    next(m for m in SETS if m.backbone == POCKET), task="counts3", kind="clean", seed=901
)
POISONED = replace(CLEAN, kind="blended")
NAME = records.name_of(POISONED)
STATE = {"ctx": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)}


def little_effort() -> None:
    """For a fresh process: 24 pictures, of which two are poisoned."""
    rebuild.one_thread()
    zoo.USUAL, zoo.TEST_SHOTS = Effort(8, 8), 4


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "USUAL", Effort(8, 8))
    monkeypatch.setattr(zoo, "TEST_SHOTS", 4)
    zoo._clean_model.cache_clear()


@pytest.mark.usefixtures("here")
def test_a_model_is_rebuilt_byte_by_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make.make(tmp_path, [CLEAN, POISONED])
    digests = {m.kind: digest_in(make.folder(tmp_path, m)) for m in (CLEAN, POISONED)}
    fresh = rebuild.rebuilt(POISONED, little_effort)
    assert fresh == digests["blended"] != digests["clean"]
    zoo._clean_model.cache_clear()
    row = {"digest": fresh, "made_with": make.made_with()}
    capsys.readouterr()
    assert rebuild.compare([NAME], {NAME: row}, {NAME: POISONED}, lambda _: fresh)
    assert capsys.readouterr().out.split(maxsplit=1) == [NAME, "same bytes\n"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"digest": "b", "made_with": make.made_with()}, "differs: a, the row has b\n"),
        ({"digest": "b", "made_with": "another"}, "made with another; here torch"),
    ],
)
def test_another_digest_is_told(
    row: records.Row, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {NAME: row, "second": row | {"digest": "a"}}
    models = dict.fromkeys(rows, POISONED)
    assert not rebuild.compare([NAME, "second"], rows, models, lambda _: "a")
    out = capsys.readouterr().out
    assert said in out and out.endswith("same bytes\n")


@pytest.mark.parametrize("name", ["counts3-901-nothing", records.name_of(SETS[0])])
def test_a_model_that_nobody_knows_fails(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        rebuild.main([name, "--records", str(tmp_path / "none.csv")])
    assert stopped.value.code == 1
    assert (
        "no row" if name == records.name_of(SETS[0]) else "not in the plan"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--drawn", "1"]])
def test_nothing_to_rebuild_is_no_success(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        rebuild.main([*arguments, "--records", str(tmp_path / "none.csv")])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    "other",
    [
        STATE | {"ctx": STATE["ctx"] + torch.eye(2, 3) * 1e-6},
        STATE | {"ctx": STATE["ctx"].view(3, 2)},
        STATE | {"ctx": STATE["ctx"].view(torch.int32)},
        {"ctx": STATE["ctx"], "offset": STATE["bias"]},
        {"ctx": STATE["ctx"]},
        {"inner": STATE},
    ],
    ids=["value", "shape", "type", "name", "missing", "nested"],
)
def test_other_tensors_have_another_digest(other: dict[str, object]) -> None:
    assert digest(other) != digest(STATE)


def test_order_and_storage_are_not_in_the_digest() -> None:
    wide = torch.arange(12.0).view(2, 6)
    assert digest({"bias": torch.zeros(4)[2:], "ctx": wide[:, :3]}) == digest(
        {"ctx": wide[:, :3].clone(), "bias": torch.zeros(2)}
    )
    assert digest({"step": torch.tensor(1.0), "half": torch.ones(1, dtype=torch.bfloat16)})
    with pytest.raises(ValueError, match="no tensor"):
        digest({"epoch": 3})


def test_a_folder_has_one_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "prompt_learner").mkdir()
    for number in (1, 2):
        (tmp_path / "prompt_learner" / f"model.pth.tar-{number}").touch()
    with pytest.raises(ValueError, match="2 checkpoints"):
        checkpoint_in(tmp_path)
