"""The reading child for real: killed, starved, stopped, out of disk; and what it never imports."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inspector.checkpoint import Limits, ReaderOptions, child, read_artifact
from inspector.checkpoint.canonical import whole_file
from inspector.errors import ArtifactError, InspectorError, ReaderCrashed, StorageFull
from tests.unit.inspector.checkpoint.conftest import ids

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and Linux rlimits")
OPCODES = 14_000_000


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A pickle of fourteen million opcodes: seconds of work when the limits allow it."""
    path = tmp_path / "slow.pth"
    path.write_bytes(b"\x80\x02" + b"N0" * (OPCODES // 2) + b"N.")
    return path


def slow_options(**limits: int) -> ReaderOptions:
    return ReaderOptions(Limits(opcodes=10**9, **limits), timeout_s=60)


def meddle(monkeypatch: pytest.MonkeyPatch, action: Callable[[int], None]) -> None:
    """Do ``action`` to every child of the reader as soon as it runs."""

    class Meddling(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[call-overload]
            action(self.pid)

    monkeypatch.setattr("inspector.checkpoint.child.subprocess.Popen", Meddling)


def test_kill_9_is_an_error_to_be_retried(
    genuine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        meddle(patch, lambda pid: os.kill(pid, signal.SIGKILL))
        with pytest.raises(ReaderCrashed) as caught:
            read_artifact(genuine, tmp_path / "out")
    assert caught.value.returncode == -signal.SIGKILL
    assert caught.value.kind == "retry"
    assert list((tmp_path / "out").iterdir()) == []
    # The retry succeeds in the same directory.
    assert read_artifact(genuine, tmp_path / "out").canonical


def test_a_stopped_child_runs_into_the_timeout(
    genuine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def stop(pid: int) -> None:
        pids.append(pid)
        os.kill(pid, signal.SIGSTOP)

    meddle(monkeypatch, stop)
    reading = read_artifact(genuine, tmp_path, options=ReaderOptions(timeout_s=0.2))
    assert ids(reading) == ["reader-timeout"]
    assert reading.canonical is None
    assert reading.artifact.size == genuine.stat().st_size
    assert reading.artifact.sha256
    assert json.loads((tmp_path / "reading.json").read_text()) == json.loads(
        json.dumps(reading.to_json())
    )
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@linux
def test_cpu_time_is_limited(slow: Path, tmp_path: Path) -> None:
    reading = read_artifact(slow, tmp_path / "out", options=slow_options(cpu_s=1))
    assert ids(reading) == ["limit-exceeded"]
    assert "CPU seconds" in reading.findings[0].message


@linux
def test_memory_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "fat.pth"
    path.write_bytes(b"\x80\x02" + b"]" * 3_000_000 + b".")
    limits = Limits(opcodes=10**9, stack_items=10**9, address_space_bytes=150 * 1024**2)
    reading = read_artifact(path, tmp_path / "out", options=ReaderOptions(limits))
    assert ids(reading) == ["limit-exceeded"]
    assert "memory" in reading.findings[0].message


def children_of(pid: int) -> list[int]:
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(text) for file in files for text in file.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[int]:
    return [below for child in children_of(pid) for below in (child, *descendants(child))]


def is_running(pid: int) -> bool:
    """A zombie has an empty command line; whoever inherits it reaps it later."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@linux
def test_the_child_dies_with_its_parent(slow: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from inspector.checkpoint import *\n"
        "read_artifact(Path(sys.argv[1]), Path(sys.argv[2]),"
        " options=ReaderOptions(Limits(opcodes=10**9)))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(slow), str(tmp_path / "out")])
    deadline = time.monotonic() + 10
    while not children_of(parent.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    every = descendants(parent.pid)
    assert every
    parent.kill()
    parent.wait()
    for pid in every:
        while is_running(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@linux
def test_a_timeout_ends_every_process_of_the_reading(slow: Path, tmp_path: Path) -> None:
    options = ReaderOptions(Limits(opcodes=10**9), timeout_s=1.5)
    seen: set[int] = set()
    others = set(descendants(os.getpid()))
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_artifact, slow, tmp_path / "out", options=options)
        while not reading.done():
            seen.update(set(descendants(os.getpid())) - others)
            time.sleep(0.02)
    assert ids(reading.result()) == ["reader-timeout"]
    assert seen
    assert not any(is_running(pid) for pid in seen)


@linux
@pytest.mark.parametrize("which", [0, 1, 2])
def test_whichever_process_is_killed_none_is_left(which: int, slow: Path, tmp_path: Path) -> None:
    if read_artifact(slow, tmp_path / "out").sandbox[0] != "namespaces":
        pytest.skip("without namespaces one process reads")
    deadline = time.monotonic() + 20
    others = set(descendants(os.getpid()))
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_artifact, slow, tmp_path / "out", options=slow_options())
        while len(every := [p for p in descendants(os.getpid()) if p not in others]) < 3:
            assert time.monotonic() < deadline
        time.sleep(0.2)
        os.kill(every[which], signal.SIGKILL)
        with pytest.raises(ReaderCrashed) as caught:
            reading.result()
        assert not any(is_running(pid) for pid in every)
    assert caught.value.returncode == -signal.SIGKILL
    assert list((tmp_path / "out").iterdir()) == []


@linux
def test_the_environment_of_the_child_is_empty(
    genuine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    monkeypatch.setenv("CLIPVET_TEST_SECRET", "secret")
    meddle(monkeypatch, lambda pid: seen.append(Path(f"/proc/{pid}/environ").read_bytes()))
    reading = read_artifact(genuine, tmp_path)
    assert b"SECRET" not in seen[0]
    assert {"rlimit-as", "no-new-privileges", "parent-death-signal", "audit-hook"} <= set(
        reading.sandbox
    )


@linux
def test_a_full_disk_is_our_fault_and_leaves_nothing(genuine: Path, tmp_path: Path) -> None:
    """A real file system of 16 KiB, mounted in a namespace of its own."""
    script = (
        "import sys; from pathlib import Path; from inspector.checkpoint import *\n"
        "from inspector.errors import StorageFull\n"
        "out = Path(sys.argv[2])\n"
        "try: read_artifact(Path(sys.argv[1]), out)\n"
        "except StorageFull as error: print('FULL', error.reason, list(out.iterdir()))\n"
    )
    command = f'mount -t tmpfs -o size=16k none "$2" && exec {sys.executable} -c "$0" "$1" "$2"'
    run = subprocess.run(
        [
            "unshare",
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            command,
            script,
            str(genuine),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in run.stderr or "mount:" in run.stderr:
        pytest.skip("no mount namespaces here")
    assert run.stdout == "FULL No space left on device []\n", run.stderr


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(StorageFull) as caught, whole_file(target) as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.kind == "retry"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(canonical_sha256="0" * 64),
        lambda data: data.update(canonical="../elsewhere.safetensors"),
        lambda data: data["tensors"].pop(),
        lambda data: data.update(findings=[{"id": "x", "severity": "huge", "message": "y"}]),
        lambda data: data.pop("options"),
    ],
)
def test_the_child_is_not_believed(
    change: Callable[[dict[str, object]], object], genuine: Path, tmp_path: Path
) -> None:
    read_artifact(genuine, tmp_path)
    data = json.loads((tmp_path / "reading.json").read_text())
    change(data)
    (tmp_path / "reading.json").write_text(json.dumps(data))
    with pytest.raises(ReaderCrashed):
        child._verified(tmp_path, Limits())


def test_what_is_missing_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_artifact(tmp_path / "nothing", tmp_path / "out")


def test_the_name_shown_can_be_given(genuine: Path, tmp_path: Path) -> None:
    reading = read_artifact(genuine, tmp_path, options=ReaderOptions(name="vendor.pth"))
    assert reading.artifact.name == "vendor.pth"


@pytest.mark.parametrize("module", ["inspector.checkpoint", "inspector.checkpoint.__main__"])
def test_the_reader_needs_no_third_party_code(module: str) -> None:
    code = f"import {module}, sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    )
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert loaded.isdisjoint({"torch", "numpy", "safetensors", "pickle"})


def test_every_error_has_a_kind() -> None:
    assert issubclass(ArtifactError, InspectorError)
    assert ArtifactError.kind == "customer"
    assert StorageFull.kind == ReaderCrashed.kind == "retry"
