"""The GitHub Action and the GitLab snippet: their own shell steps, run against a running service."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hostile import assemble
from tests.hostile.boxes import torch_zip
from tests.support.processes import Embedded

CI = Path(__file__).parents[2] / "docker" / "ci"
ACTION = yaml.safe_load((CI / "github" / "action.yml").read_text())
GITLAB = yaml.safe_load((CI / "gitlab.yml").read_text())
_EXPRESSION = re.compile(r"\$\{\{ *([a-z.-]+) *\}\}")
INJECTION = '"; touch "$RUNNER_TEMP/owned"; echo "$(touch owned)`touch owned`'


@dataclass
class Ran:
    code: int
    out: str
    err: str
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


@dataclass
class Runner:
    """A runner of GitHub as far as shell steps see it."""

    folder: Path
    shelf: Path

    def run(self, **inputs: str) -> Ran:
        temp = self.folder / "temp"
        temp.mkdir(exist_ok=True)
        values = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        assert values.keys() == ACTION["inputs"].keys()
        assert all(values[name] for name in required)
        files = {"GITHUB_OUTPUT": temp / "output", "GITHUB_STEP_SUMMARY": temp / "summary"}
        for file in files.values():
            file.write_text("")
        surroundings = {name: str(file) for name, file in files.items()} | {
            "RUNNER_TEMP": str(temp)
        }
        ran = Ran(0, "", "")
        for step in ACTION["runs"]["steps"]:
            own = {name: _filled(text, values) for name, text in step["env"].items()}
            ran = shell(["bash", "-eo", "pipefail", "-c", step["run"]], self, surroundings | own)
            if ran.code:
                break
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        ran.outputs = dict(line.split("=", 1) for line in lines)
        ran.summary = files["GITHUB_STEP_SUMMARY"].read_text()
        return ran


def _filled(text: str, inputs: dict[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: inputs[found[1].removeprefix("inputs.")], text)


def shell(command: list[str], runner: Runner, environment: dict[str, str]) -> Ran:
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(runner.shelf), "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        command, cwd=runner.folder, env=offline | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    print(ended.stderr)
    return Ran(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def runner(tmp_path: Path, shelf: Path, checkpoint: Path) -> Iterator[Runner]:
    (tmp_path / "model.pth").write_bytes(checkpoint.read_bytes())
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    _shadow(tmp_path)
    yield Runner(tmp_path, shelf)
    assert not list(tmp_path.rglob("owned"))


def _shadow(checkout: Path) -> None:
    """Whoever writes the checkout puts modules and a gate of his own where ours may be looked for."""
    for name in ("json", "venv", "pip", "sitecustomize"):
        (checkout / f"{name}.py").write_text("open('owned', 'w').close()\n")
    gate = checkout / ".clipvet" / "bin" / "clipvet-gate"
    gate.parent.mkdir(parents=True)
    gate.write_text("#!/bin/sh\ntouch owned\n")
    gate.chmod(0o755)


def ordered(runner: Runner, **orders: Any) -> str:
    (runner.folder / "manifest.json").write_text(json.dumps({"stand_in": orders}))
    return "manifest.json"


def test_the_action_from_a_clean_model_to_one_that_runs_code(
    runner: Runner, service: Embedded, wheel: Path
) -> None:
    common = {
        "url": service.url,
        "client": str(wheel),
        "backbone": "pocket",
        "artifact": "model.pth",
    }
    clean = runner.run(**common, classes="classes.txt", manifest=ordered(runner, verdict="clean"))
    assert clean.code == 0
    assert clean.outputs["exit-code"] == "0"
    assert clean.outputs["verdict"] == "clean"
    assert clean.out.startswith("::notice title=clipvet,file=model.pth::")
    policy = runner.folder / "policy.json"
    policy.write_text('{"name": "p", "profiles": ["thorough"]}')
    shut = runner.run(**common, classes="classes.txt", profile="quick", policy="policy.json")
    assert (shut.code, shut.outputs["exit-code"], shut.outputs["verdict"]) == (1, "1", "clean")
    assert "::error title=clipvet policy-profile,file=model.pth::" in shut.out
    assert json.loads(Path(shut.outputs["sarif"]).read_text())["version"] == "2.1.0"
    assert Path(shut.outputs["junit"]).read_text().startswith("<?xml")
    assert all(line.startswith("    ") for line in shut.summary.splitlines()[2:])
    (runner.folder / "model.pth").write_bytes(torch_zip(assemble.coop(assemble.system())))
    hostile = runner.run(**common, classes="classes.txt")
    assert hostile.code == 1
    assert "this file runs code when it is loaded" in hostile.out
    wrong = runner.run(**common | {"backbone": "ViT-B/1"}, classes="classes.txt")
    assert (wrong.code, wrong.outputs) == (4, {"exit-code": "4"})
    assert wrong.out.startswith("::error title=clipvet,file=model.pth::")
    injected = dict.fromkeys(("policy", "profile", "classes", "probes", "token"), INJECTION)
    assert runner.run(**common | {"artifact": INJECTION}, **injected).code == 4
    assert not list(runner.folder.rglob("owned"))


def test_the_action_writes_no_input_into_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
        for text in step["env"].values():
            named = _EXPRESSION.fullmatch(text)
            assert named is not None
            assert named[1].removeprefix("inputs.") in ACTION["inputs"]
    (gate,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "gate"]
    for name, output in ACTION["outputs"].items():
        assert output["value"] == f"${{{{ steps.gate.outputs.{name} }}}}"
        assert f"{name}=" in gate["run"]


def test_the_job_of_gitlab(runner: Runner, service: Embedded, wheel: Path) -> None:
    job = GITLAB[".clipvet-gate"]
    variables = job["variables"] | {
        "CLIPVET_URL": service.url,
        "CLIPVET_CLIENT": str(wheel),
        "CLIPVET_BACKBONE": "pocket",
        "CLIPVET_ARTIFACT": "model.pth",
        "CLIPVET_CLASSES": "classes.txt",
    }
    script = "\n".join(job["script"])
    # As the runner does in an image that has no bash.
    command = ["sh", "-ec", script]
    clean = shell(command, runner, variables)
    assert (clean.code, "verdict     clean" in clean.out) == (0, True)
    for path in job["artifacts"]["paths"]:
        assert (runner.folder / path).is_file()
    assert job["artifacts"]["reports"]["junit"] in job["artifacts"]["paths"]
    manifest = ordered(runner, verdict="backdoored")
    shut = shell(command, runner, variables | {"CLIPVET_MANIFEST": manifest})
    assert (shut.code, "verdict-backdoored" in shut.out) == (1, True)
    inconclusive = variables | {"CLIPVET_MANIFEST": ordered(runner, verdict="inconclusive")}
    assert shell(command, runner, inconclusive).code == 3
    assert shell(command, runner, variables | {"CLIPVET_POLICY": "no such policy"}).code == 4
