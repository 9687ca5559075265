"""The client's wheel installs alone, is small, and passes its tests against a running service."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from app import client
from tests.support.processes import Embedded
from tests.support.wheels import CLIENT

_TESTS = Path(__file__).with_name("against_service.py")
_LIMIT_BYTES = 10 * 1024 * 1024


def sources() -> list[Path]:
    """Modules of the client, without what a build in the folder may have left."""
    return [path for path in CLIENT.rglob("*.py") if "build" not in path.parts]


def test_the_wheel_holds_the_folder_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as box:
        held = {name for name in box.namelist() if name.startswith("clipvet_client/")}
        others = [one for one in box.namelist() if "clipvet_client" not in one.partition("/")[0]]
        assert others == []
        for name in held:
            source = CLIENT / name.removeprefix("clipvet_client/")
            assert box.read(name) == source.read_bytes()
    ours = {path.relative_to(CLIENT).as_posix() for path in sources()} | {"py.typed"}
    assert held == {f"clipvet_client/{name}" for name in ours}


def test_installed_alone_it_is_small(installed: Path) -> None:
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    run = subprocess.run([installed, "-c", asked], check=True, capture_output=True, text=True)
    site = Path(run.stdout.strip())
    files = [path for path in site.rglob("*") if path.is_file()]
    assert (site / "clipvet_client" / "api.py") in files
    assert sum(path.stat().st_size for path in files) < _LIMIT_BYTES


def test_it_passes_its_tests_against_a_running_service(
    installed: Path, service: Embedded, checkpoint: Path, tmp_path: Path
) -> None:
    environment = {
        "CLIPVET_URL": service.url,
        "CLIPVET_ARTIFACT": str(checkpoint),
        "CLIPVET_OUT": str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    ran = subprocess.run(
        [installed, "-I", _TESTS], env=environment, capture_output=True, text=True, check=False
    )
    print(ran.stderr)
    assert ran.returncode == 0
    counted = re.search(r"^Ran (\d+) tests", ran.stderr, re.MULTILINE)
    written = len(re.findall(r"^    def test_", _TESTS.read_text(), re.MULTILINE))
    assert counted is not None
    assert int(counted[1]) == written
    assert "skipped" not in ran.stderr


def test_it_imports_itself_python_and_httpx2_only() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            strangers = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
            assert strangers <= {"httpx2"}, path


def test_client_and_engine_have_one_version(service: Embedded) -> None:
    assert service.get("/v1/metadata")["version"] == client.__version__


def test_the_wheel_says_what_it_is(installed: Path) -> None:
    asked = (
        "import json; from importlib.metadata import metadata as m; "
        "print(json.dumps([m('clipvet-client')['Version'], m('clipvet-client')['Requires-Python']]))"
    )
    run = subprocess.run([installed, "-c", asked], check=True, capture_output=True, text=True)
    assert json.loads(run.stdout) == [client.__version__, ">=3.11"]
