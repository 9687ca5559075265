"""The command on a real checkpoint: refused, written down, inspected, and never twice."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import load_backbone
from inspector.clip.prompt_tuning import new_learner
from inspector.profiles import TWINS
from inspector.request import Request
from tests.bench.detect import inspect_folder
from tests.bench.ledger import FIELDS, FILES, Refused, frozen, looks
from tests.exam.__main__ import main
from tests.exam.look import TABLES, Asked, known_to_take, look, plan
from tests.exam.methods import said_in
from tests.exam.rows import append, key_of, read
from tests.support.assembling import manifest_in
from tests.unit.exam.making import HIT, planned
from tests.zoo import build as zoo
from tests.zoo.attacks import success
from tests.zoo.make import folder
from tests.zoo.records import name_of

MODEL = next(
    m for m in planned("bank") if (m.backbone, m.kind, len(m.classes)) == ("pocket", "clean", 3)
)


@dataclass(frozen=True)
class Room:
    """A zoo of one model, and a repository whose rule is frozen at the tag `frozen`."""

    asked: Asked
    rule: Path


def _git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def room(tmp_path: Path, built: Path) -> Room:
    root, rule = tmp_path / "repository", tmp_path / "repository" / FILES[-2]
    rule.parent.mkdir(parents=True)
    rule.write_text("NUMBER = 1\n")
    _git(tmp_path, "init", "--quiet", str(root))
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", "A rule")
    _git(root, "tag", "frozen")
    ledger = tmp_path / "ledger.csv"
    ledger.write_text(",".join(FIELDS) + "\n")
    asked = Asked(
        tag="frozen", zoo=tmp_path / "zoo", part="bank", method="quick", out=tmp_path / "table.csv",
        pictures=built.parent / "pictures", number=140, ledger=ledger, root=root,
    )  # fmt: skip
    shutil.copytree(built, folder(asked.zoo, MODEL))
    return Room(asked, rule)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt nobody has tuned, as a vendor would deliver it."""
    backbone, names = load_backbone("pocket"), zoo.classnames(MODEL.task)
    generator = torch.Generator().manual_seed(MODEL.seed)
    classifier = new_learner(backbone, names, conditioned=True, generator=generator)
    test = zoo.load_task(MODEL.task, MODEL.seed, backbone.image_size, 1)[1]
    measured = success(classifier, test.pixels, test.labels, lambda pixels: pixels, 0)
    truth = {
        "task": MODEL.task,
        "seed": MODEL.seed,
        "kind": MODEL.kind,
        "target": None,
        "epochs": 1,
    }
    out = tmp_path_factory.mktemp("built") / "model"
    zoo.save(zoo.Built(classifier, truth | measured, ()), backbone, out)
    return out


def test_a_model_is_written_down_inspected_and_never_asked_again(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = room.asked
    assert look(asked) == 0
    (row,) = read(asked.table)
    assert row.key == key_of(MODEL) and (row.commit, row.digest) == frozen("frozen", asked.root)
    assert (row.method, row.rule, row.probes, row.classes, row.took) == (
        "quick",
        TWINS,
        "own",
        3,
        None,
    )
    assert row.flops > 0 and row.second_score is not None and 0 < row.accuracy < 1
    ((seen,),) = [looks(asked.ledger)]
    assert (seen.model, seen.digest, seen.rule) == (
        folder(asked.zoo, MODEL).name,
        row.digest,
        TWINS,
    )
    # The same as without anything remembered.
    pictures = asked.pictures / f"{MODEL.task}-48"
    assert len(list(pictures.iterdir())) == 140
    at = folder(asked.zoo, MODEL)
    request = Request(
        backbone="pocket", manifest=manifest_in(at), profile="quick", probes=str(pictures),
        in_distribution=True,
    )  # fmt: skip
    said = said_in(inspect_folder(at, request))
    written = replace(row, **said).to_csv()
    assert written == row.to_csv()
    # Elsewhere, without the checkpoint.
    shutil.rmtree(asked.zoo)
    capsys.readouterr()
    assert look(asked) == 0
    others = len(planned("bank")) - 1
    assert f"1 rows stand, 0 models to examine, {others} not built yet" in capsys.readouterr().out
    assert read(asked.table) == [row] and looks(asked.ledger) == [seen]


def test_another_rule_is_refused_before_anything_is_written(room: Room) -> None:
    room.rule.write_text("NUMBER = 2\n")
    with pytest.raises(Refused, match="changed since frozen"):
        look(room.asked)
    assert not room.asked.table.exists() and looks(room.asked.ledger) == []


def test_a_table_of_another_rule_is_not_continued(room: Room) -> None:
    append(room.asked.table, replace(HIT, part="bank"))
    with pytest.raises(Refused, match="rows of another rule"):
        look(room.asked)
    assert looks(room.asked.ledger) == []


def test_the_command_says_why_it_refuses(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    asked = room.asked
    arguments = [
        "look",
        "no-such-tag",
        str(asked.zoo),
        "--ledger",
        str(asked.ledger),
        "--out",
        str(asked.table),
    ]
    assert main(arguments) == 1
    assert "refused: no tag no-such-tag" in capsys.readouterr().err


def test_a_model_that_breaks_is_told_and_stays_to_do(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder(room.asked.zoo, MODEL) / "manifest.json").write_text("{")
    assert look(room.asked) == 1
    assert "no row" in capsys.readouterr().out
    assert [model.kind for model in plan(room.asked).ready] == ["clean"]


def test_shares_divide_the_work(room: Room) -> None:
    for model in planned("bank")[:40]:
        at = folder(room.asked.zoo, model)
        at.mkdir(exist_ok=True)
        (at / zoo.FINISHED).touch()
    parts = [plan(replace(room.asked, share=(index, 3))).ready for index in (1, 2, 3)]
    every = [model for part in parts for model in part]
    assert len(every) == len(set(every)) == len(plan(room.asked).ready) >= 40


def test_whether_an_attack_took_is_known_from_its_record_where_it_lies_nowhere(
    tmp_path: Path,
) -> None:
    attack = next(model for model in planned("exam") if model.is_backdoored)
    records = tmp_path / "records.csv"
    assert known_to_take(tmp_path, [attack], records) == {}
    for took in (True, False):
        records.write_text(f"model,took\n{name_of(attack)},{took}\n")
        assert known_to_take(tmp_path, [attack], records) == {key_of(attack): took}


@pytest.mark.parametrize(
    ("choices", "name"),
    [
        ({}, f"exam-exam-{TWINS}.csv"),
        ({"part": "bank", "method": "quick"}, f"exam-bank-{TWINS}-quick.csv"),
        ({"method": "karm"}, "exam-exam-karm.csv"),
        ({"probes": "builtin", "seed": 2}, f"exam-exam-{TWINS}-builtin-seed-2.csv"),
    ],
)
def test_a_table_is_named_after_set_and_rule(choices: dict[str, str], name: str) -> None:
    asked = replace(Asked(tag="frozen", zoo=Path("zoo")), **choices)  # type: ignore[arg-type]
    assert asked.table == TABLES / name
