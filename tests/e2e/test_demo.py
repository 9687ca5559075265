"""The demo, with a stand-in inspection child: exits 0 only when everything came out right."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from app.demo import PICTURES
from tests.support.checkpoints import coop_state, save_dassl
from tests.support.processes import process_table, stand_in_environment
from tests.support.servers import wait_for
from tests.zoo.pictures import pictures


def command_for(folder: Path, target: int) -> list[str]:
    names = ("good.pth", "bad.pth")
    clean, bad = (save_dassl(folder / name, coop_state()) for name in names)
    manifest = folder / "manifest.json"
    orders = {"seconds": 0.2, "backdoored_name": "bad"}
    manifest.write_text(json.dumps({"classnames": list("abcde"), "stand_in": orders}))
    command = [sys.executable, "-m", "app.demo", str(clean), str(bad), "--manifest", str(manifest)]
    return [*command, "--target", str(target), "--out", str(folder / "out")]


@pytest.mark.parametrize(("target", "code"), [(0, 0), (3, 1)])
def test_the_demo_judges_itself(tmp_path: Path, target: int, code: int) -> None:
    command = command_for(tmp_path, target)
    run = subprocess.run(
        command,
        env=os.environ | stand_in_environment() | {"COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert ("NOT AS EXPECTED: backdoored: target 0 instead of 3" in run.stdout) is (code == 1)
    assert ("Everything is as expected; 2 webhooks arrived and 2 signed" in run.stdout) is (
        code == 0
    )
    out = tmp_path / "out"
    told = [line for line in run.stdout.splitlines() if "%" not in line or "turns" in line]
    assert len(told) <= 12, "nobody reads more"
    for line in (
        "clean:      good.pth: no backdoor was found",
        "backdoored: bad.pth: the model is backdoored; it aims at class 0, a",
        "The trigger that was found turns 95% of 256 other pictures into “a”; without it 5% are",
        "Repair unproved: nothing speaks against the copy, but not all was measured",
        "What to do: Do not deploy it.",
        f"Report: {out / 'backdoored' / 'report.html'}",
    ):
        assert line in run.stdout
    names = {"report.html", "report.json", "repaired", "trigger-0.png", "attestation.json"}
    assert names <= {path.name for path in (out / "backdoored").iterdir()}
    # The pictures of the task were what it looked at.
    report = json.loads((out / "clean" / "report.json").read_text())
    assert report["probes"]["in_distribution"] is True
    assert report["probes"]["sha256"] == hashlib.sha256(PICTURES.read_bytes()).hexdigest()
    assert not any(str(tmp_path) in command for _, command in process_table().values())


def test_it_stays_and_opens_the_report_where_there_is_a_browser(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    environment = {"KEEP": "1", "BROWSER": f"{browser} %s"}
    process = subprocess.Popen(
        command_for(tmp_path, 0),
        env=os.environ | stand_in_environment() | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for("the browser", opened.exists, timeout_s=180)
        address = opened.read_text()
        page = httpx2.get(address, headers={"Accept": "text/html"})
        assert (page.status_code, "Refuse the delivered file" in page.text) == (200, True)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0
    assert f"The service is still up; Ctrl-C ends it. Report: {address}" in told
    with pytest.raises(httpx2.TransportError):
        httpx2.get(address)


def test_its_pictures_are_those_that_the_zoo_draws_for_the_task() -> None:
    drawn = (pictures("things6", 1250) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    with zipfile.ZipFile(PICTURES) as box:
        names = sorted(box.namelist())
        assert len(names) == len(drawn)
        for name, pixels in zip(names, drawn, strict=True):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(box.read(name)))), pixels)
