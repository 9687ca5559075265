"""The client's wheel, and a fresh virtual environment that nothing but it and its requirements is in.

pip resolves and installs as it does for a customer, but from a folder: the requirements of the wheel
are packed again from what is installed here, so that no test needs the network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

CLIENT = Path(__file__).parents[2] / "app" / "client"


def build_client(out: Path) -> Path:
    """The wheel of `app/client`, built from a copy: setuptools leaves folders behind."""
    source = out / "source"
    shutil.copytree(
        CLIENT, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "-w", str(out), str(source)], check=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def stock(wheel: Path, shelf: Path) -> Path:
    """A folder with everything that the wheel needs, as wheels."""
    shelf.mkdir(parents=True)
    for needed in _requirements(wheel):
        _repack(needed, shelf)
    return shelf


def install(wheel: Path, shelf: Path, folder: Path) -> Path:
    """The Python of a fresh environment in `folder` with the wheel in it."""
    new = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
    subprocess.run(new, check=True)
    python = folder / "venv" / "bin" / "python"
    # The pip that is here: to install another one first would take longer than all the rest.
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    # Nothing but the shelf is asked.
    offline = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf)}
    subprocess.run([*pip, "install", "--quiet", str(wheel)], check=True, env=offline)
    return python


def _requirements(wheel: Path) -> Iterator[Distribution]:
    """Everything that the wheel needs, and what that needs, for this Python and no extra."""
    with zipfile.ZipFile(wheel) as box:
        (name,) = [one for one in box.namelist() if one.endswith(".dist-info/METADATA")]
        text = box.read(name).decode()
    waiting = re.findall(r"^Requires-Dist: (.+)$", text, re.MULTILINE)
    seen = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or requirement.name in seen:
            continue
        seen.add(requirement.name)
        found = distribution(requirement.name)
        waiting += found.requires or []
        yield found


def _repack(found: Distribution, shelf: Path) -> None:
    tag = re.search(r"^Tag: (.+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    assert tag is not None, found.name
    name = re.sub(r"[-_.]+", "_", found.name)
    with zipfile.ZipFile(shelf / f"{name}-{found.version}-{tag[1]}.whl", "w") as box:
        for file in found.files or []:
            # Scripts lie outside, and compiled modules are no part of a wheel.
            if ".." not in file.parts and "__pycache__" not in file.parts:
                box.write(str(file.locate()), file.as_posix())
