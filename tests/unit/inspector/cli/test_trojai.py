"""`trojai`: a real inspection through the container's interface, the curve, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from inspector.cli.trojai import SCHEMA, probability, read_metaparameters, schema
from inspector.errors import RequestError
from inspector.profiles import PROFILES, Profile
from tests.support.banked import with_bank
from tests.support.checkpoints import call_opcodes, plant_pickle
from tests.support.small import SMALL
from tests.unit.inspector.cli.conftest import NAMES, Clipvet, Ended

OWN_SCHEMA = schema()
Trojai = Callable[..., Ended]


@pytest.fixture
def trojai(
    artifact: Path, vit_folder: Path, tmp_path: Path, clipvet: Clipvet,
    monkeypatch: pytest.MonkeyPatch,
) -> Trojai:  # fmt: skip
    """Run the command on the tiny backbone with few probes; keywords are metaparameters."""
    monkeypatch.setitem(PROFILES, "quick", Profile("quick", 64, 64, SMALL))
    with_bank(monkeypatch)

    def run(*more: str | Path, model: Path = artifact, **parameters: Any) -> Ended:
        given = {"backbone": str(vit_folder), "classes": NAMES, "profile": "quick", "device": "cpu"}
        (tmp_path / "metaparameters.json").write_text(json.dumps(given | parameters))
        return clipvet(
            "trojai", "--model_filepath", model, "--result_filepath", tmp_path / "result.txt",
            "--scratch_dirpath", tmp_path / "scratch", "--examples_dirpath", tmp_path,
            "--metaparameters_filepath", tmp_path / "metaparameters.json",
            "--schema_filepath", SCHEMA, *more,
        )  # fmt: skip

    return run


def test_a_judged_model_gets_the_probability_of_its_report(tmp_path: Path, trojai: Trojai) -> None:
    ended = trojai()
    report = json.loads((tmp_path / "scratch" / "report.json").read_text())
    assert report["verdict"] in ("clean", "suspicious", "backdoored")
    (line,) = (tmp_path / "result.txt").read_text().splitlines()
    assert float(line) == probability(report) != 0.5
    assert (float(line) > 0.5) == (report["score"] > report["threshold"])
    assert ended.code == (0 if report["verdict"] == "clean" else 1)
    assert (report["seed"], report["profile"]) == (0, "quick")
    assert "unused: --examples_dirpath" in ended.err
    assert "another schema" not in ended.err
    assert ended.out == ""


def test_what_is_inconclusive_gets_a_half(artifact: Path, tmp_path: Path, trojai: Trojai) -> None:
    """No time at all; a torn file; and one that runs code, which fails."""
    torn = tmp_path / "torn.pth"
    torn.write_bytes(artifact.read_bytes()[:-50])
    evil = plant_pickle(artifact, tmp_path / "evil.pth", call_opcodes("os", "system", "true"))
    for model, code in ((artifact, 3), (torn, 3), (evil, 1)):
        assert trojai(model=model, budget_s=0).code == code
        assert (tmp_path / "result.txt").read_text() == "0.5\n"
        (tmp_path / "result.txt").unlink()


def test_an_older_answer_does_not_survive_a_wrong_request(tmp_path: Path, trojai: Trojai) -> None:
    (tmp_path / "result.txt").write_text("0.97\n")
    ended = trojai(seed=-1)
    assert ended.code == 4
    assert "seed: -1 is less than the minimum of 0" in ended.err
    assert not (tmp_path / "result.txt").exists()


def test_a_manifest_beside_each_model(artifact: Path, tmp_path: Path, trojai: Trojai) -> None:
    folder = tmp_path / "id-00000001"
    folder.mkdir()
    model = folder / artifact.name
    model.write_bytes(artifact.read_bytes())
    missing = trojai("infer", model=model, manifest_name="manifest.json")
    assert missing.code == 4
    assert "manifest_name: cannot read manifest.json" in missing.err
    named = {"classnames": [*NAMES[:2], "bus"], "dataset": "d"}
    (folder / "manifest.json").write_text(json.dumps(named))
    # Metaparameters that name classes win over the vendor's file.
    assert trojai(model=model, manifest_name="manifest.json").code in (0, 1)
    report = json.loads((tmp_path / "scratch" / "report.json").read_text())
    assert [row["name"] for row in report["per_class"]] == list(NAMES)
    (folder / "manifest.json").write_text(json.dumps({"check": {"images": "/etc/passwd"}}))
    refused = trojai(model=model, manifest_name="manifest.json")
    assert refused.code == 4
    assert "manifest.check" in refused.err


@pytest.mark.parametrize("more", [("configure",), ("--configure_mode",)])
def test_there_is_nothing_to_configure(more: tuple[str], trojai: Trojai) -> None:
    assert trojai(*more).code == 4


def test_another_schema_is_told_and_not_used(tmp_path: Path, trojai: Trojai) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "object"}')
    ended = trojai("--schema_filepath", other, classes=["only one"])
    assert ended.code == 4
    assert "classes: ['only one'] is too short" in ended.err
    ended = trojai("--schema_filepath", other)
    assert "another schema" in ended.err


def judged(score: float | None, verdict: str = "clean", threshold: float | None = 0.155) -> float:
    return probability({"score": score, "threshold": threshold, "verdict": verdict})


def test_the_curve() -> None:
    assert judged(0.155, "suspicious") == 0.5
    assert judged(4.0, "suspicious", 4.0) == 0.5
    scores = [-1e6, -1.0, 0.0, 0.1, 0.154, 0.155, 0.156, 0.3, 0.8]
    values = [judged(score) for score in scores]
    assert values == sorted(values)
    assert len(set(values)) == len(values)
    assert all(0.01 <= value <= 0.99 for value in values)
    assert judged(0.0) == pytest.approx(0.01 + 0.98 / (1 + 2.718281828**4), abs=1e-6)
    assert judged(1e6) == pytest.approx(0.99)
    for unknown in (judged(0.9, "inconclusive"), judged(None), judged(0.3, threshold=None)):
        assert unknown == 0.5


CASES: dict[str, dict[str, Any]] = {
    "": {"backbone": "pocket", "seed": 4, "profile": "paper", "budget_s": 1.5, "manifest": {}},
    "backbone": {},
    "backbone ": {"backbone": 5},
    "backbone  ": {"backbone": ""},
    "seed": {"backbone": "b", "seed": 1.5},
    "seed ": {"backbone": "b", "seed": True},
    "seed  ": {"backbone": "b", "seed": 2**32},
    "profile": {"backbone": "b", "profile": "huge"},
    "classes[1]": {"backbone": "b", "classes": ["a", 2]},
    "classes": {"backbone": "b", "classes": "a"},
    "manifest": {"backbone": "b", "manifest": []},
    "manifest_name": {"backbone": "b", "manifest_name": "../manifest.json"},
    "budget_s": {"backbone": "b", "budget_s": -1},
    "epsilon": {"backbone": "b", "epsilon": 0.1},
}


@pytest.mark.parametrize("field", CASES)
def test_the_schema_is_kept_and_the_field_named(field: str, tmp_path: Path) -> None:
    Draft7Validator.check_schema(OWN_SCHEMA)
    path = tmp_path / "metaparameters.json"
    path.write_text(json.dumps(CASES[field]))
    is_valid = Draft7Validator(OWN_SCHEMA).is_valid(CASES[field])
    assert is_valid == (field == "")
    if is_valid:
        assert read_metaparameters(path) == CASES[field]
        return
    with pytest.raises(RequestError) as caught:
        read_metaparameters(path)
    assert caught.value.field == field.strip()


def test_more_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metaparameters.json"
    for text in ("{", "[]", '{"backbone": "b", "budget_s": Infinity}'):
        path.write_text(text)
        with pytest.raises(RequestError):
            read_metaparameters(path)
    both = {"backbone": "b", "manifest": {}, "manifest_name": "manifest.json"}
    path.write_text(json.dumps(both))
    with pytest.raises(RequestError, match="manifest_name: stands beside manifest"):
        read_metaparameters(path)


def test_without_a_threshold_only_an_accusation_says_something() -> None:
    report = {"score": 2.0, "threshold": None}
    accused, warned = (
        probability(report | {"verdict": verdict}) for verdict in ("backdoored", "suspicious")
    )
    assert warned == 0.5 < 0.9 < accused < 1
