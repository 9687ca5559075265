"""`calibrate` on a tiny real backbone: the file, going on after a stop, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from inspector.calibration import ClassNames, load
from inspector.clip.backbone import Backbone
from inspector.detection.random_triggers import draw
from inspector.probes.loading import load_pools
from inspector.profiles import PROFILES, Profile
from inspector.reference import bank, benign_models
from tests.support.checkpoints import save_dassl
from tests.support.small import SMALL
from tests.unit.inspector.cli.conftest import NAMES, Clipvet, Ended
from tests.zoo.build import state_dict
from tests.zoo.pictures import write

Calibrate = Callable[..., Ended]


@pytest.fixture
def calibrate(
    vit_folder: Path, classes: Path, tmp_path: Path, clipvet: Clipvet,
    monkeypatch: pytest.MonkeyPatch,
) -> Calibrate:  # fmt: skip
    """Run the command with few probes and updates."""
    few = Profile("quick", 64, 64, SMALL)
    monkeypatch.setitem(PROFILES, "quick", few)
    monkeypatch.setattr(benign_models, "UPDATES", (10, 20))

    def run(*more: str | Path, out: str = "c.json") -> Ended:
        return clipvet(
            "calibrate", "--backbone", vit_folder, "--classes", classes, "--profile", "quick",
            "--number", "5", "--device", "cpu",
            "--out", tmp_path / out, *more,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("method", ["CoCoOp", "CoOp"])
def test_a_file_of_scores(method: str, vit: Backbone, tmp_path: Path, calibrate: Calibrate) -> None:
    ended = calibrate("--method", method)
    assert ended.code == 0, ended.err
    made = load(tmp_path / "c.json")
    assert made.id in ended.out
    assert (made.method, made.profile, made.seed) == (method, "quick", 0)
    assert made.backbone.sha256 == vit.sha256
    assert made.classes == ClassNames.of(NAMES)
    assert len(made.scores) == 5 and len(set(made.scores)) > 1
    assert ended.err.count("score") == 5
    assert {path.name for path in tmp_path.iterdir()} <= {"c.json", "cache"}


@pytest.mark.parametrize(
    ("method", "shows_the_task"), [("CoCoOp", False), ("CoOp", False), ("CoCoOp", True)]
)
def test_scores_are_those_that_inspect_gives(
    method: str, shows_the_task: bool, vit: Backbone, vit_folder: Path, classes: Path,
    tmp_path: Path, clipvet: Clipvet, calibrate: Calibrate,
) -> None:  # fmt: skip
    probes, stated = "builtin", tuple[str, ...]()
    if shows_the_task:
        generator = torch.Generator().manual_seed(3)
        write(torch.rand(128, 3, 16, 16, generator=generator), tmp_path / "pictures")
        probes, stated = str(tmp_path / "pictures"), ("--in-distribution",)
    ended = calibrate("--method", method, "--probes", probes, *stated)
    assert ended.code == 0, ended.err
    made = load(tmp_path / "c.json")
    pixels = load_pools(probes, vit.image_size, PROFILES["quick"]).optimisation
    factory = benign_models.BenignModelFactory(
        vit, list(NAMES), pixels, conditioned=method == "CoCoOp"
    )
    for place in (0, 4):
        used = benign_models.TrainingVariation(**made.recipes[place])
        model, _ = factory.build(used, lambda seed: draw(vit.image_size, seed))
        artifact = save_dassl(tmp_path / f"model-{place}.pth.tar-1", state_dict(model), 1)
        ended = clipvet(
            "inspect", artifact, "--backbone", vit_folder, "--classes", classes, "--json",
            "--profile", "quick", "--device", "cpu", "--probes", probes, *stated,
            "--calibration", tmp_path / "c.json",
        )  # fmt: skip
        assert json.loads(ended.out)["score"] == pytest.approx(made.scores[place], abs=1e-5)


def test_the_same_order_writes_the_same_bytes_and_another_seed_does_not(
    tmp_path: Path, calibrate: Calibrate
) -> None:
    for out in ("c.json", "d.json"):
        assert calibrate(out=out).code == 0
    assert (tmp_path / "c.json").read_bytes() == (tmp_path / "d.json").read_bytes()
    assert calibrate("--seed", "1", out="e.json").code == 0
    assert load(tmp_path / "e.json").scores != load(tmp_path / "c.json").scores


def test_a_run_that_was_stopped_goes_on(
    tmp_path: Path, calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calibrate(out="whole.json").code == 0
    score, calls = bank._Bank._score, []

    def stopped(self: bank._Bank, model: object) -> float:
        calls.append(model)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return score(self, model)  # type: ignore[arg-type]

    monkeypatch.setattr(bank._Bank, "_score", stopped)
    assert calibrate().code == 130
    assert not (tmp_path / "c.json").exists()
    assert len(json.loads((tmp_path / "c.json.part").read_text())["models"]) == 3
    ended = calibrate()
    assert (ended.code, len(calls)) == (0, 6)
    assert "3 of 5 models are there" in ended.err
    assert (tmp_path / "c.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not (tmp_path / "c.json.part").exists()


def test_what_another_order_left_is_not_used(tmp_path: Path, calibrate: Calibrate) -> None:
    part = tmp_path / "c.json.part"
    for text in ("{", "[]", json.dumps({"key": {}, "models": [[0.5, {}]] * 5})):
        part.write_text(text)
        ended = calibrate()
        assert ended.code == 0 and "earlier run" not in ended.err
        assert 0.5 not in load(tmp_path / "c.json").scores


def test_usage(tmp_path: Path, vit_folder: Path, clipvet: Clipvet, calibrate: Calibrate) -> None:
    assert clipvet("calibrate", "--help").code == 0
    assert clipvet("calibrate", "--backbone", vit_folder).code == 4
    assert calibrate("--number", "4").code == 4
    assert calibrate("--method", "MaPLe").code == 4
    assert calibrate("--probes", tmp_path / "none").code == 4
    nameless = clipvet("calibrate", "--backbone", vit_folder, "--out", tmp_path / "c.json")
    assert nameless.code == 4 and "classes:" in nameless.err
    one = tmp_path / "one.txt"
    one.write_text("cat\n")
    ended = clipvet(
        "calibrate", "--backbone", vit_folder, "--classes", one, "--out", tmp_path / "c.json"
    )
    assert ended.code == 4 and "two classes" in ended.err
    assert clipvet(
        "calibrate", "--backbone", tmp_path / "none", "--classes", one, "--out", tmp_path / "c"
    ).code == 4  # fmt: skip
    assert not (tmp_path / "c.json").exists()
