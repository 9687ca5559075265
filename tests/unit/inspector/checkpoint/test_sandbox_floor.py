"""What a machine forbids is left out and said; below the floor nothing is read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.checkpoint import ReaderOptions, read_artifact, rewrite_artifact
from inspector.checkpoint.levels import (
    LEVELS,
    Level,
    as_level,
    described,
    is_below,
    level_of,
    refused,
)
from inspector.errors import SandboxTooWeak
from tests.support import forbidding

linux = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

Forbid = Callable[..., None]

BASE = ("rlimit-as", "rlimit-cpu", "rlimit-fsize", "rlimit-nofile", "rlimit-core",
        "no-new-privileges", "parent-death-signal")  # fmt: skip
SPACES = ("mount-namespace", "network-namespace", "ipc-namespace", "pid-namespace", "private-root")
FORBIDDEN: list[tuple[tuple[str, ...], Level]] = [
    ((), "namespaces"),
    (("unshare",), "seccomp"),
    (("pivot_root",), "seccomp"),
    (("mount",), "seccomp"),
    (("mount_setattr",), "seccomp"),
    (("capset",), "namespaces"),
    (("unshare", "seccomp"), "landlock"),
    (("unshare", "seccomp", "landlock_create_ruleset"), "rlimits"),
    (("unshare", "seccomp", "landlock_create_ruleset", "prctl"), "plain"),
]


@pytest.fixture
def forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forbid:
    """Start every child of the reader where these system calls fail."""

    def run(*calls: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        if calls:
            monkeypatch.setattr(sys, "executable", str(forbidding.interpreter(folder, *calls)))

    return run


def reached(genuine: Path, out: Path) -> Level:
    reading = read_artifact(genuine, out)
    assert reading.canonical is not None
    return as_level(reading.sandbox[0])


@linux
@pytest.mark.parametrize(("calls", "level"), FORBIDDEN)
def test_the_next_layer_takes_over_and_says_so(
    calls: tuple[str, ...], level: Level, genuine: Path, tmp_path: Path, forbid: Forbid
) -> None:
    best = reached(genuine, tmp_path / "free")
    if is_below(best, level):
        pytest.skip(f"this machine has {best} at best")
    forbid(*calls)
    reading = read_artifact(genuine, tmp_path / "out")
    assert reading.canonical is not None
    assert reading.sandbox[0] == level
    said = [text for text in reading.sandbox if text.startswith("without ")]
    assert len(said) == min(len(calls), 3) + ("prctl" in calls) * 2
    assert all("Operation not permitted" in text for text in said)


@linux
@pytest.mark.parametrize("floor", LEVELS)
@pytest.mark.parametrize(("calls", "level"), [FORBIDDEN[1], FORBIDDEN[-2]])
def test_below_the_floor_nothing_is_read(
    calls: tuple[str, ...],
    level: Level,
    floor: Level,
    genuine: Path,
    tmp_path: Path,
    forbid: Forbid,
) -> None:
    forbid(*calls)
    options = ReaderOptions(floor=floor)
    if not is_below(level, floor):
        assert read_artifact(genuine, tmp_path / "out", options=options).canonical
        return
    with pytest.raises(SandboxTooWeak) as caught:
        read_artifact(genuine, tmp_path / "out", options=options)
    assert (caught.value.floor, caught.value.level) == (floor, level)
    assert f"below the floor {floor!r}" in str(caught.value)
    assert "without namespaces: unshare: Operation not permitted" in str(caught.value)
    assert caught.value.kind == "bug"
    assert list((tmp_path / "out").iterdir()) == []


@linux
def test_the_artifact_is_not_even_opened_below_the_floor(tmp_path: Path, forbid: Forbid) -> None:
    """A FIFO would give a finding as soon as it were opened."""
    forbid("unshare")
    fifo = tmp_path / "artifact"
    os.mkfifo(fifo)
    with pytest.raises(SandboxTooWeak):
        read_artifact(fifo, tmp_path / "out", options=ReaderOptions(floor="namespaces"))


READ = """
import sys; from pathlib import Path; from inspector.checkpoint import read_artifact
reading = read_artifact(Path(sys.argv[1]), Path(sys.argv[2]))
assert reading.canonical
print(*reading.sandbox, sep="\\n")
"""


def read_where(prepared: str, genuine: Path, out: Path) -> list[str]:
    """What a reading says of its sandbox where a shell, root in its own namespace, did something."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    shell = f'{prepared} && echo prepared && exec {sys.executable} -c "$0" "$@"'
    ended = subprocess.run(
        [*command, shell, READ, str(genuine), str(out)], capture_output=True, text=True, check=False
    )
    if not ended.stdout.startswith("prepared"):
        pytest.skip(f"cannot be set up here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[1:]


@linux
def test_root_without_user_namespaces(genuine: Path, tmp_path: Path) -> None:
    said = read_where("echo 0 > /proc/sys/user/max_user_namespaces", genuine, tmp_path)
    assert said[0] == "namespaces"
    assert "without user-namespace: No space left on device" in said


@linux
@pytest.mark.parametrize(
    "prepared", ["mount -t tmpfs none /proc", "mount -o remount,bind,ro /proc"]
)
def test_without_a_usable_proc(prepared: str, genuine: Path, tmp_path: Path) -> None:
    said = read_where(prepared, genuine, tmp_path)
    assert said[0] in ("seccomp", "landlock", "rlimits")
    assert "without namespaces: mapping of user ids: refused" in said


@linux
def test_rewriting_has_the_same_floor(genuine: Path, tmp_path: Path, forbid: Forbid) -> None:
    forbid("unshare")
    read_artifact(genuine, tmp_path / "out")
    tensors, result = tmp_path / "out" / "canonical.safetensors", tmp_path / "result"
    with pytest.raises(SandboxTooWeak):
        rewrite_artifact(genuine, tensors, result, options=ReaderOptions(floor="namespaces"))
    assert not result.exists()
    rewrite_artifact(genuine, tensors, result, options=ReaderOptions(floor="seccomp"))
    assert result.read_bytes() == genuine.read_bytes()


@pytest.mark.parametrize(
    ("layers", "level"),
    [
        ((), "plain"),
        (BASE, "rlimits"),
        (BASE[1:], "plain"),
        ((*BASE, "landlock-files"), "landlock"),
        ((*BASE, "landlock-files", "system-call-filter"), "seccomp"),
        # Without a view of its own the filtered process reads every file of its user.
        ((*BASE, "system-call-filter"), "rlimits"),
        ((*BASE, *SPACES), "landlock"),
        ((*BASE, *SPACES, "system-call-filter"), "namespaces"),
        ((*BASE, *SPACES[1:], "system-call-filter"), "seccomp"),
        ((*BASE, "landlock-files", refused("system-call-filter", "x")), "landlock"),
    ],
)
def test_levels(layers: tuple[str, ...], level: Level) -> None:
    assert level_of(layers) == level
    assert described(layers) == (level, *layers)


def test_levels_are_ordered_and_parsed() -> None:
    assert is_below("rlimits", "landlock")
    assert not is_below("seccomp", "seccomp")
    assert not is_below("namespaces", "seccomp")
    assert [as_level(word) for word in LEVELS] == list(LEVELS)
    with pytest.raises(ValueError, match="is no sandbox level"):
        as_level("chroot")


def test_the_service_names_the_same_levels() -> None:
    from typing import get_args

    from app.settings import SandboxLevel

    assert get_args(SandboxLevel) == LEVELS
