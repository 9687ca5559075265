"""The parent's side of reading: start a child, wait, judge how it ended.

The parent never parses hostile bytes. It believes the child no more than the file: the reading is
checked type by type, the canonical tensors are parsed and hashed again. A child that reached a
limit gives a finding, one that was killed an error that may be retried. Knows no format.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from inspector.checkpoint import loaders
from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.formats import safetensors
from inspector.checkpoint.levels import level_of
from inspector.checkpoint.limits import MIB, Limits, ReaderOptions
from inspector.checkpoint.opening import TEMPORARY_NAMES
from inspector.checkpoint.protocol import EXIT_BELOW_FLOOR, EXIT_REFUSED, EXIT_STORAGE_FULL
from inspector.checkpoint.reading import CANONICAL_NAME, READING_NAME, ArtifactInfo, Reading
from inspector.checkpoint.reasons import report
from inspector.checkpoint.sandbox.reach import Reach
from inspector.checkpoint.source import open_source, sha256_of
from inspector.errors import (
    ArtifactError,
    MalformedArtifact,
    ReaderCrashed,
    SandboxTooWeak,
    StorageFull,
)
from inspector.findings import Finding

_READING_LIMIT = 64 * MIB
_LOG_LIMIT = 64 * 1024
_GRACE_S = 10
"""How long a killed process may take to end, in a write to a slow disk, say."""


def read_artifact(path: Path, out: Path, *, options: ReaderOptions | None = None) -> Reading:
    """Read the artifact at ``path`` in a child process.

    Writes ``out/reading.json`` and, when the artifact is sound, ``out/canonical.safetensors``;
    ``out`` is made when it is missing and should belong to this artifact alone.

    Args:
        path: a file, or a directory that holds a Dassl folder. Of a model in several files, each
            stands for all that lie beside it.

    Returns:
        The reading. Its ``canonical`` is None when the artifact could not be used; a finding says
        why. A child that ran out of time or of CPU gives such a reading too.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        ReaderCrashed: the child was killed or broke; the same call may succeed.
        StorageFull: no space left below ``out``.
        SandboxTooWeak: this machine gives no sandbox of the level ``options.floor``.
    """
    options = options or ReaderOptions()
    path.stat()
    path, options = _with_companions(path, options)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFull(out, os.strerror(error.errno or 0)) from error
    _clear(out)
    reach = Reach((path.resolve(),), out.resolve())
    request = {"path": str(reach.readable[0]), "out": str(reach.writable)}
    trouble = _run("read", request, reach, options)
    if trouble:
        _clear(out)
        reading = _stopped(path, options, trouble)
        with whole_file(out / READING_NAME) as file:
            file.write(json.dumps(reading.to_json()).encode("ascii"))
        return reading
    return _verified(out, options.limits)


def _with_companions(path: Path, options: ReaderOptions) -> tuple[Path, ReaderOptions]:
    """The folder of a file that is one of several which only together make a model.

    That file then is the member that is wanted.
    """
    is_alone = options.role == "backbone" or not loaders.belongs_to_several(path.name)
    if is_alone or not path.is_file():
        return path, options
    folder = path.resolve().parent
    together = [pick.files for pick in loaders.picks(os.listdir(folder)) if len(pick.files) > 1]
    if not any(path.name in files for files in together):
        return path, options
    return folder, replace(options, member=options.member or path.name)


def rewrite_artifact(
    path: Path, tensors: Path, out: Path, *, options: ReaderOptions | None = None
) -> None:
    """Write the artifact's own container to ``out`` with the values of some tensors replaced.

    Every other byte stays, but for the checksums of the records that changed. Of a directory or an
    archive, the chosen checkpoint is rewritten, not what is around it.

    Args:
        path: the artifact as it was delivered.
        tensors: safetensors; each must have name, shape and dtype of one of the artifact's.
        out: the file to write; it appears only when it is complete.

    Raises:
        ArtifactError: the artifact is unreadable or tries to run code, or a tensor does not fit.
        ReaderCrashed, StorageFull, SandboxTooWeak: see :func:`read_artifact`.
    """
    options = options or ReaderOptions()
    path.stat()
    path, options = _with_companions(path, options)
    try:
        with TemporaryDirectory(dir=out.parent, prefix=".rewrite-") as scratch:
            # The child may write into its own directory only; the parent moves the result.
            writable = Path(scratch).resolve()
            result = writable / "result" / out.name
            result.parent.mkdir()
            reach = Reach((path.resolve(), tensors.resolve()), writable)
            places = (*reach.readable, result, writable)
            names = ("path", "tensors", "out", "scratch")
            request = dict(zip(names, map(str, places), strict=True))
            trouble = _run("rewrite", request, reach, options)
            if not trouble:
                result.replace(out)
    except OSError as error:
        raise StorageFull(out, os.strerror(error.errno or 0)) from error
    if trouble:
        raise ArtifactError(trouble.id, trouble.message)


def _run(
    command: str, request: dict[str, str], reach: Reach, options: ReaderOptions
) -> Finding | None:
    """Run one child; give a finding when it reached a limit, None when it ended well."""
    text = json.dumps(
        {
            **request,
            "readable": [str(path) for path in reach.readable],
            "writable": str(reach.writable),
            "floor": options.floor,
            "limits": options.limits.to_json(),
            "name": options.name,
            "member": options.member,
            "state": options.state,
            "role": options.role,
            "parent": os.getpid(),
        }
    )
    command_line = [sys.executable, "-I", "-m", "inspector.checkpoint", command, text]
    # A file, not a pipe: what the child says is bounded by its own file size limit.
    with TemporaryFile() as log, _awaited_descendants() as held:
        process = subprocess.Popen(
            command_line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
            pass_fds=(held,),
        )
        try:
            process.wait(timeout=options.timeout_s)
        except subprocess.TimeoutExpired:
            return report("reader-timeout", f"stopped after {options.timeout_s:g} seconds")
        finally:
            _kill_group(process)
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_LIMIT))
        return _judge(process.returncode, log.read().decode("utf-8", "replace"), options)


@contextmanager
def _awaited_descendants() -> Iterator[int]:
    """A descriptor to be inherited; on leaving, every process that holds it has ended.

    The child reads through a grandchild, whose own end may come a moment after the child's. Only
    then is nobody left to write among the results.
    """
    ours, theirs = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        deadline = time.monotonic() + _GRACE_S
        while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
            if not os.read(ours, 4096):
                break
        os.close(ours)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child, and all that it may have started, unless it has ended by itself."""
    # Once the child is reaped its number may belong to somebody else.
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _judge(code: int, log: str, options: ReaderOptions) -> Finding | None:
    if code == 0:
        return None
    if code == -signal.SIGXCPU:
        return report("limit-exceeded", f"CPU seconds: over the limit of {options.limits.cpu_s}")
    if code in (EXIT_STORAGE_FULL, EXIT_REFUSED, EXIT_BELOW_FLOOR):
        try:
            reason = json.loads(log)
            if code == EXIT_BELOW_FLOOR:
                layers = tuple(map(str, reason["layers"]))
                raise SandboxTooWeak(options.floor, level_of(layers), layers)
            if code == EXIT_STORAGE_FULL:
                raise StorageFull(Path(str(reason["path"])), str(reason["reason"]))
            raise ArtifactError(*(str(reason[key]) for key in ("id", "detail", "remedy")))
        except (ValueError, KeyError, TypeError) as error:
            raise ReaderCrashed(code, log) from error
    raise ReaderCrashed(code, log)


def _clear(out: Path) -> None:
    """Remove what an earlier or a killed child has left."""
    for name in (READING_NAME, CANONICAL_NAME):
        (out / name).unlink(missing_ok=True)
        (out / f"{name}.part").unlink(missing_ok=True)
    for name in TEMPORARY_NAMES:
        (out / name).unlink(missing_ok=True)
        (out / f"{name}.part").unlink(missing_ok=True)


def _stopped(path: Path, options: ReaderOptions, trouble: Finding) -> Reading:
    """The reading of an artifact whose child was stopped: its size and hash, and the reason."""
    info = ArtifactInfo(options.name or path.name, None, 0, "unknown")
    if path.is_file():
        with open_source(path) as source:
            info = replace(info, sha256=sha256_of(source), size=source.size)
    return Reading(artifact=info, findings=(trouble,))


def _verified(out: Path, limits: Limits) -> Reading:
    """The child's reading, parsed and compared with the tensors that it wrote."""
    try:
        with open_source(out / READING_NAME) as source:
            if source.size > _READING_LIMIT:
                raise ValueError("the reading is too large")
            reading = Reading.from_json(json.loads(source.read(0, source.size)))
        if reading.canonical is None:
            return reading
        if reading.canonical != CANONICAL_NAME:
            raise ValueError("the reading names another file")
        with open_source(out / CANONICAL_NAME) as source:
            views, _metadata = safetensors.read_views(source, limits)
            described = {(t.name, t.shape, t.dtype) for t in reading.tensors}
            if {(v.name, v.shape, v.dtype) for v in views} != described:
                raise ValueError("the reading lists other tensors than were written")
            if sha256_of(source) != reading.canonical_sha256:
                raise ValueError("the canonical tensors have another hash than was said")
    except (OSError, ValueError, MalformedArtifact) as error:
        raise ReaderCrashed(0, f"unusable result: {error}") from error
    return reading
