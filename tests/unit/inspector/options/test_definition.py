"""What an option accepts, and that one definition is read wherever something can be asked for."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import ValidationError

from app.client import Client
from app.inspections.schemas import InspectionCreate
from inspector.options import Options, Policy, Selection, Spec, WrongOption, specs

ROOT = Path(__file__).parents[4]
SPECS = {spec.name: spec for bundle in (Options, Selection, Policy) for spec in specs(bundle)}
GOOD: dict[str, list[Any]] = {
    "profile": ["quick", "thorough"],
    "probes": ["builtin", "/some/folder"],
    "in_distribution": [True, False],
    "targets": ["all", 2, 3.0, 50_000],
    "seed": [0, 2**32 - 1],
    "repair": [True],
    "labelled": ["/some/folder", None],
    "pairs": ["/some/folder", "shard.tar", None],
    "budget_s": [0, 1.5, None],
    "member": ["a/b.pth", None],
    "state": [".", None],
    "fail_on": ["suspicious", "backdoored"],
}
BAD: dict[str, list[Any]] = {
    "profile": ["fast", "", None, 3],
    "probes": ["", None, 4, "x" * 5000],
    "in_distribution": ["yes", 1, None],
    "targets": ["some", 1, -2, 2.5, True, None, 50_001],
    "seed": [-1, 2**32, 0.5, "0", True, None],
    "repair": ["true", 0],
    "labelled": ["", 4, "x" * 5000],
    "pairs": ["", 4, "x" * 5000],
    "budget_s": [-1, float("nan"), float("inf"), "5", True, 1e300],
    "member": ["", "x" * 1025, 1],
    "state": ["", 2],
    "fail_on": ["clean", None],
}


def test_every_option_is_asked_about_here_and_every_field_is_one() -> None:
    assert SPECS.keys() == GOOD.keys() == BAD.keys()
    for bundle in (Options, Selection, Policy):
        assert [spec.name for spec in specs(bundle)] == [one.name for one in fields(bundle)]
    assert all(spec.help for spec in SPECS.values())


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_what_it_accepts_and_what_its_schema_does(spec: Spec) -> None:
    is_valid = Draft7Validator(spec.json_schema()).is_valid
    assert spec.checked(spec.default) == spec.default
    for value in GOOD[spec.name]:
        assert spec.checked(value) == value
        assert value is None or is_valid(value)
    for value in BAD[spec.name]:
        with pytest.raises(WrongOption) as caught:
            spec.checked(value)
        assert caught.value.name == spec.name and caught.value.detail
        # JSON has neither NaN nor infinity, so a schema need not refuse them.
        assert value in (float("inf"),) or value != value or not is_valid(value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("targets", "all", "all"), ("targets", "12", 12), ("seed", "7", 7), ("budget_s", "1.5", 1.5)],
)
def test_words_of_a_command_line(name: str, text: str, value: object) -> None:
    assert SPECS[name].parsed(text) == value


@pytest.mark.parametrize(("name", "text"), [("targets", "some"), ("targets", "1"), ("seed", "x")])
def test_words_that_mean_nothing(name: str, text: str) -> None:
    with pytest.raises(WrongOption):
        SPECS[name].parsed(text)


def test_pictures_that_the_service_takes_can_be_sent_to_it() -> None:
    """What is a path here is an upload there, whichever option it is."""
    pictures = [spec for spec in specs(Options) if spec.is_pictures]
    assert [spec.name for spec in pictures] == ["probes", "labelled", "pairs"]
    sent = inspect.signature(Client.inspect).parameters
    wish = {"sha256": "ab" * 32, "backbone": "pocket", "repair": True}
    for spec in pictures:
        assert {"inspect", "submit", "rest"} <= set(spec.ways)
        assert sent[spec.name].annotation == "Path | None"
        told = str(InspectionCreate.model_fields[spec.name].description)
        assert spec.help in told and all(form in told for form in spec.archives)
        InspectionCreate.model_validate(wish | {spec.name: "upl_" + "1" * 32})
        with pytest.raises(ValidationError):
            InspectionCreate.model_validate(wish | {spec.name: "/some/folder"})


def with_one_more(folder: Path) -> Path:
    """The packages as they are, but that the file of options has one more field."""
    for package in ("app", "worker", "migrations"):
        (folder / package).symlink_to(ROOT / package)
    options = folder / "inspector" / "options"
    options.mkdir(parents=True)
    for at in (Path("inspector"), Path("inspector", "options")):
        for path in (ROOT / at).iterdir():
            if path.name not in ("options", "inspection.py", "__pycache__"):
                (folder / at / path.name).symlink_to(path)
    source = (ROOT / "inspector" / "options" / "inspection.py").read_text("utf-8")
    field = """\
    patience: int = field(
        default=3, metadata=option("Sweeps to wait for.", int, least=1, most=9)
    )
    seed: int ="""
    assert source.count("    seed: int =") == 1
    (options / "inspection.py").write_text(source.replace("    seed: int =", field))
    return folder


_ASK = """
import json, sys
from pydantic import ValidationError
from typer.testing import CliRunner
from app.cli import cli as client
from app.inspections.schemas import InspectionCreate
from inspector.cli.entry import cli as inspector
from inspector.cli.trojai import schema
from inspector.errors import RequestError
from inspector.request import Request

def told(cli, *words):
    return CliRunner().invoke(cli, words, env={"COLUMNS": "300"}).output

def posted(**asked):
    body = {"sha256": "ab" * 32, "backbone": "pocket", "classes": ["a", "b"], **asked}
    try:
        return InspectionCreate.model_validate(body).inspector_request("pocket")["patience"]
    except ValidationError as problem:
        return str(problem)

def heard(**asked):
    try:
        return Request.from_json({"backbone": "pocket", "device": "cpu", **asked}).patience
    except RequestError as problem:
        return str(problem)

line = [sys.argv[0], "--backbone", "pocket", "--patience", "99"]
print(json.dumps({
    "inspect": told(inspector, "inspect", "--help"),
    "repair": told(inspector, "repair", "--help"),
    "submit": told(client, "submit", "--help"),
    "refused": [
        told(inspector, "inspect", *line),
        told(inspector, "repair", *line, "--out", "x"),
        told(client, "submit", *line, "--url", "http://localhost:1"),
    ],
    "rest": [posted(), posted(patience=5), posted(patience=99)],
    "child": [heard(), heard(patience=5), heard(patience=99)],
    "trojai": schema()["properties"]["patience"],
}))
"""


def test_an_option_that_is_added_in_one_place_can_be_given_everywhere(tmp_path: Path) -> None:
    script = with_one_more(tmp_path) / "ask.py"
    script.write_text(_ASK)
    ended = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    for command in ("inspect", "repair", "submit"):
        assert "--patience" in found[command] and "Sweeps to wait for." in found[command]
        assert "1<=x<=9" in found[command] and "3" in found[command]
    assert all("Invalid value for '--patience'" in said for said in found["refused"])
    for way in ("rest", "child"):
        default, given, refused = found[way]
        assert (default, given) == (3, 5)
        assert "patience" in refused
    assert found["trojai"] == {
        "description": "Sweeps to wait for.",
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "default": 3,
    }
