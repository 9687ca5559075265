"""Escapes tried for real from inside the sandbox, against each layer alone and all together.

Every attempt is first made without any layer: one that fails there proves nothing and is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

if sys.platform == "linux":
    from tests.support import escapes
    from tests.support.escapes import Target

NOBODY = 65534
FILES = ("read-passwd", "read-secret", "read-secret-by-dots", "read-environ-of-parent", "list-root",
         "write-outside", "write-input", "truncate-input", "remove-input")  # fmt: skip
SOCKETS = ("tcp", "udp", "unix-socket", "abstract-socket")
OTHERS = ("kill", "ptrace", "read-memory")
KERNEL = (
    "executable-memory",
    "i386-call",
    "new-user-namespace",
    "io-uring",
    "userfaultfd",
    "memfd",
    "keyring",
)
CLAIMS = {
    "namespaces": (*FILES, "chmod-input", *SOCKETS, *OTHERS, "exec", "open-by-handle", "mount"),
    "landlock": (*FILES, "tcp", "abstract-socket", *OTHERS, "exec"),
    "seccomp": ("truncate-input", "chmod-input", *SOCKETS, *OTHERS, *KERNEL, "fork", "exec",
                "open-by-handle", "mount"),
    "cage": (*FILES, "chmod-input", *SOCKETS, *OTHERS, *KERNEL, "fork", "exec", "open-by-handle",
             "mount"),
}  # fmt: skip
PAIRS = [(layers, attempt) for layers, attempts in CLAIMS.items() for attempt in attempts]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@contextmanager
def target(uid: int | None) -> Iterator[Target]:
    """Something to attack: files, listening sockets and a process; ``uid`` owns and attacks it."""
    with ExitStack() as stack:
        # Not pytest's own folder: an ordinary user must reach it, too.
        folder = Path(tempfile.mkdtemp(prefix="clipvet-cage-"))
        stack.callback(shutil.rmtree, folder)
        (folder / "out").mkdir()
        for name in ("input", "secret"):
            (folder / name).write_bytes(b"0123456789")
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for address in (str(folder / "listener"), f"\0{folder.name}"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(address)
            listening.listen()
        victim = stack.enter_context(subprocess.Popen(["sleep", "60"], user=uid, group=uid))
        stack.callback(victim.kill)
        if uid is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, uid, uid)
        yield Target(
            input=str(folder / "input"), out=str(folder / "out"), secret=str(folder / "secret"),
            outside=str(folder / "outside"), listener=str(folder / "listener"),
            abstract=folder.name, tcp_port=tcp.getsockname()[1], victim=victim.pid,
            parent=os.getpid(), uid=uid,
        )  # fmt: skip


def goes_through(layers: str, name: str, uid: int | None = None) -> bool:
    """Whether the attempt succeeds inside ``layers``; skips where they cannot be had."""
    with target(uid) as attacked:
        text = json.dumps(asdict(attacked))
        script = [sys.executable, "-I", escapes.__file__, layers, name, text]
        ended = subprocess.run(script, capture_output=True, text=True, check=False, timeout=30)
    if "not here" in ended.stderr:
        pytest.skip(ended.stderr.splitlines()[-1])
    assert "CAGED" in ended.stdout, ended.stderr
    is_over = "ESCAPED" in ended.stdout or "REFUSED" in ended.stdout
    assert is_over or ended.returncode == -signal.SIGSYS, ended
    return "ESCAPED" in ended.stdout


@cache
def is_possible_uncaged(name: str, uid: int | None = None) -> bool:
    return goes_through("none", name, uid)


@pytest.mark.parametrize(("layers", "name"), PAIRS)
def test_no_escape(layers: str, name: str) -> None:
    assert not goes_through(layers, name)
    if not is_possible_uncaged(name):
        pytest.skip("does not go through without a sandbox either")


@pytest.mark.parametrize("layers", CLAIMS)
def test_the_work_can_be_done(layers: str) -> None:
    assert goes_through(layers, "work")


@only_root
@pytest.mark.parametrize("name", CLAIMS["namespaces"])
def test_an_ordinary_user_escapes_no_namespaces(name: str) -> None:
    assert not goes_through("namespaces", name, NOBODY)
    if not is_possible_uncaged(name, NOBODY):
        pytest.skip("does not go through without a sandbox either")


@only_root
def test_an_ordinary_user_can_work_in_the_cage() -> None:
    assert goes_through("cage", "work", NOBODY)


@only_root
def test_an_ordinary_user_starts_no_process() -> None:
    assert is_possible_uncaged("fork", NOBODY)
    assert not goes_through("rlimits", "fork", NOBODY)
