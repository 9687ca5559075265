"""The demo, with a stand-in inspection child: exits 0 only when everything came out right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkpoints import coop_state, save_dassl
from tests.support.processes import process_table, stand_in_environment


@pytest.mark.parametrize(("target", "code"), [(0, 0), (3, 1)])
def test_the_demo_judges_itself(tmp_path: Path, target: int, code: int) -> None:
    names = ("good.pth", "bad.pth")
    clean, bad = (save_dassl(tmp_path / name, coop_state()) for name in names)
    manifest = tmp_path / "manifest.json"
    orders = {"seconds": 0.2, "backdoored_name": "bad"}
    manifest.write_text(json.dumps({"classnames": list("abcde"), "stand_in": orders}))
    command = [sys.executable, "-m", "app.demo", str(clean), str(bad), "--manifest", str(manifest)]
    command += ["--target", str(target), "--out", str(tmp_path / "out")]
    run = subprocess.run(
        command,
        env=os.environ | stand_in_environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert run.stdout.count("webhook received and verified") == 2
    assert ("NOT AS EXPECTED: bad" in run.stdout.replace("backdoored", "bad")) is (code == 1)
    for name in ("report.html", "report.json", "repaired", "trigger-0.png"):
        assert str(tmp_path / "out" / "backdoored" / name) in run.stdout
    assert not any(str(tmp_path) in command for _, command in process_table().values())
