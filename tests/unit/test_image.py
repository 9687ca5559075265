"""What the API's image installs: everything that the API imports, the PDF's libraries, and no tensors."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def installed() -> list[str]:
    run = [sys.executable, str(ROOT / "docker" / "app_requirements.py")]
    return subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )[:-1]


def test_the_api_image_prints_pdfs_and_has_no_tensors() -> None:
    lines = installed()
    assert set(PROJECT["optional-dependencies"]["pdf"]) < set(lines)
    assert not [line for line in lines if line.startswith(("torch", "open-clip"))]
    assert any(line.startswith("fastapi") for line in lines)


def test_the_system_s_libraries_are_those_that_the_missing_one_is_told_by() -> None:
    image = (ROOT / "docker" / "app.Dockerfile").read_text("utf-8")
    told = (ROOT / "inspector" / "page" / "printing.py").read_text("utf-8")
    for package in ("libpango-1.0-0", "libpangoft2-1.0-0"):
        assert package in image and package in told
