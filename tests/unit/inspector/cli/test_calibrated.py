"""From `calibrate` to the p-value of a report, on a tiny real backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inspector.calibration import load, p_value
from inspector.clip.backbone import Backbone
from inspector.profiles import PROFILES, Profile
from inspector.reference import benign_models
from tests.support.prompts import Recipe, tune
from tests.support.small import SMALL
from tests.unit.inspector.cli.conftest import NAMES, Clipvet


@pytest.mark.parametrize("method", ["CoCoOp", "CoOp"])
def test_a_report_has_the_p_value_of_the_file_that_applies(
    method: str, vit: Backbone, vit_folder: Path, classes: Path, tmp_path: Path, clipvet: Clipvet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    few = Profile("quick", 64, 64, SMALL)
    monkeypatch.setitem(PROFILES, "quick", few)
    monkeypatch.setattr(benign_models, "UPDATES", (10, 20))
    monkeypatch.delenv("CLIPVET_CALIBRATIONS", raising=False)
    vendor = tune(vit.model, Recipe(NAMES, conditioned=method == "CoCoOp")).save(tmp_path / "v")
    bank = tmp_path / "bank" / "c.json"
    common = ("--backbone", vit_folder, "--classes", classes, "--device", "cpu")
    made = clipvet(
        "calibrate", *common, "--method", method, "--profile", "quick", "--number", "5",
        "--out", bank,
    )  # fmt: skip
    assert made.code == 0, made.err

    def report(*more: str | Path) -> dict[str, Any]:
        ended = clipvet("inspect", vendor, *common, "--profile", "quick", "--json", *more)
        assert ended.code in (0, 1, 3), ended.err
        printed: dict[str, Any] = json.loads(ended.out)
        return printed

    plain = report()
    assert (plain["p_value"], plain["calibration"]) == (None, None)
    assert any(f"--method {method} --profile quick" in limit for limit in plain["limits"])
    given = report("--calibration", bank)
    assert given["calibration"]["id"] == load(bank).id
    assert given["p_value"] == p_value(load(bank).scores, given["score"])
    assert given["calibration"]["same_classes"]
    assert given["score"] == plain["score"]
    monkeypatch.setenv("CLIPVET_CALIBRATIONS", str(bank.parent))
    assert report()["p_value"] == given["p_value"]
    assert report("--targets", "2")["p_value"] is None
    refused = clipvet(
        "inspect", vendor, *common, "--profile", "quick", "--targets", "2", "--calibration", bank
    )
    assert refused.code == 4 and "targets" in refused.err
    other = clipvet("inspect", vendor, *common, "--profile", "standard", "--calibration", bank)
    assert other.code == 4
    assert "profile: it was made for quick, this inspection has standard" in other.err
