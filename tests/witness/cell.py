"""A sandboxed process in which the customers' loaders open files; its answers come back as JSON.

A fork of this process, in which torch is imported already. It has no network and cannot start
processes (namespace, system call filter), no environment and no home, may write into one empty folder
only (Landlock), and has limits on memory, CPU time, files and their size. What a file runs in there is
noticed by an audit hook, or by the :data:`CANARY` that payloads call; the process ends after such a
file. A layer that the machine refuses is left out: the hook refuses the same things once more.
"""

from __future__ import annotations

import encodings
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, NoReturn

import safetensors.torch
import torch

from inspector.checkpoint.limits import MIB
from inspector.checkpoint.sandbox import kernel, landlock, rlimits
from inspector.checkpoint.sandbox.reach import Reach
from tests.support.forbidding import forbid
from tests.witness.customers import Seen, seen_in

CANARY = ("witness_canary", "sing")
"""Module and name of a function that only payloads call; it exists in the cell alone."""
_DANGEROUS = (
    "compile", "exec", "marshal.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "subprocess.", "socket.", "ctypes.", "code.", "pty.", "webbrowser.", "urllib.", "os.putenv",
)  # fmt: skip
_CALLS = (
    "socket", "socketpair", "connect", "execve", "execveat", "fork", "vfork", "clone", "clone3",
    "kill", "tkill", "ptrace", "mount", "unshare", "setns", "bpf", "io_uring_setup", "memfd_create",
)  # fmt: skip
_NEW_USER, _NEW_NETWORK, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_MEMORY, _CPU_S, _FILE, _OPEN = 512 * MIB, 60, 4 * MIB, 128
_PATIENCE_S = 20.0
"""How long one file may take all loaders together."""


class Answer(NamedTuple):
    """What the loaders got from one file, and what ran; None for ``seen`` where the cell died."""

    seen: tuple[Seen, ...] | None
    ran: tuple[str, ...] = ()


def opened(paths: Sequence[Path], scratch: Path) -> Iterator[Answer]:
    """What every loader makes of each of ``paths``; ``scratch`` is an empty folder for the cell.

    One process for all of them, and a new one after a file that killed it, ran something, or hung.
    """
    _warm_up()
    done = 0
    while done < len(paths):
        for answer in _in_one_process(paths[done:], scratch):
            done += 1
            yield answer


@cache
def _warm_up() -> None:
    """Do once, on files of our own, what imports something when it is done for the first time."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(ImportError):
            importlib.import_module(f"encodings.{module.name}")
    state = {"a": torch.ones(2), "n": torch.nn.Parameter(torch.ones(1))}
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.pth"
        for content in (state, torch.nn.Linear(1, 1), {"state_dict": Fraction(1, 3)}):
            for is_zip in (True, False):
                torch.save(content, path, _use_new_zipfile_serialization=is_zip)
                list(seen_in(path))
        safetensors.torch.save_file({"a": state["a"]}, path.with_suffix(".safetensors"))
        list(seen_in(path.with_suffix(".safetensors")))
        for garbage in (b"", b"PK\x03\x04", b"\x80\x02.", bytes(1024)):
            path.write_bytes(garbage)
            list(seen_in(path))
        for name in ("config.json", "open_clip_config.json"):
            (Path(folder) / name).write_text('{"architecture": "x"}')
        list(seen_in(Path(folder)))


def _in_one_process(paths: Sequence[Path], scratch: Path) -> Iterator[Answer]:
    theirs, ours = os.pipe()
    gc.freeze()
    pid = os.fork()
    if not pid:
        os.close(theirs)
        _live(paths, scratch, ours)
    os.close(ours)
    count = 0
    try:
        for line in _lines(theirs):
            yield _parsed(line)
            count += 1
            if count == len(paths) or _parsed(line).ran:
                return
        yield Answer(None)
    finally:
        os.close(theirs)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Lines as they come; no more after the end, or when none comes for too long."""
    held = b""
    while select.select([descriptor], [], [], _PATIENCE_S)[0]:
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            return
        *whole, held = (held + piece).split(b"\n")
        yield from whole


def _parsed(line: bytes) -> Answer:
    data = json.loads(line)
    return Answer(tuple(Seen(*row) for row in data["seen"]), tuple(data["ran"]))


def _live(paths: Sequence[Path], scratch: Path, out: int) -> NoReturn:
    """The whole life of the cell."""
    try:
        ran: list[str] = []
        _lock(paths, scratch)
        _watch(ran)
        for path in paths:
            seen = list(seen_in(path))
            text = json.dumps({"seen": seen, "ran": sorted(set(ran))[:20]})
            _say(out, text.encode() + b"\n")
            if ran:
                break
    except BaseException:  # What a file does here ends here.
        os._exit(1)
    os._exit(0)


def _say(out: int, text: bytes) -> None:
    while text:
        text = text[os.write(out, text) :]


def _lock(paths: Sequence[Path], scratch: Path) -> None:
    warnings.simplefilter("ignore")
    faulthandler.disable()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.chdir(scratch)
    os.environ.clear()
    rlimits.die_with_parent(os.getppid())
    with suppress(OSError):
        kernel.call("unshare", _NEW_USER | _NEW_NETWORK | _NEW_IPC)
    libraries = {
        Path(p).resolve() for p in (*sys.path, sys.prefix, sys.base_prefix, "/usr", "/lib")
    }
    libraries |= {Path("/proc"), Path("/dev/null"), Path("/sys")}
    readable = [*{path.parent for path in paths}, *(p for p in libraries if p.exists())]
    rlimits.give_up_privileges()
    landlock.restrict(Reach(tuple(readable), scratch.resolve()))
    _limit()
    with suppress(OSError):
        forbid(_CALLS)


def _limit() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, value in (
        (resource.RLIMIT_AS, mapped + _MEMORY),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_FSIZE, _FILE),
        (resource.RLIMIT_NOFILE, _OPEN),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _watch(ran: list[str]) -> None:
    """Note in ``ran`` what honest files never do, and refuse it."""
    module, name = CANARY
    held = types.ModuleType(module)

    def sing(*_arguments: object, **_named: object) -> None:
        ran.append(module)

    setattr(held, name, sing)
    sys.modules[module] = held

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & 3)
        # torch compares a module's source with the one beside it, for which ast parses the file. What
        # is only parsed does nothing, and running it would be an event of its own.
        is_parsed = event == "compile" and arguments[1] == "<unknown>"
        if (event.startswith(_DANGEROUS) and not is_parsed) or is_write:
            ran.append(event)
            raise PermissionError(event)

    sys.addaudithook(hook)
