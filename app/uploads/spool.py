"""Take one part off the wire: to disk, counted and hashed, never in memory as a whole.

Knows neither database nor store. A part that ends early, grows too long or meets a full disk
leaves no file behind.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

from app.errors import AppError, InsufficientStorage, TooLarge, Unprocessable
from app.uploads.service import SpooledPart

_BUFFER = 1 << 20


def no_space(error: OSError) -> AppError | None:
    """The problem to answer when a write failed because the disk (or a quota) is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientStorage("the server's disk is full; nothing was lost, try again later")
    return None


def sweep(folder: Path, *, older_than_s: float) -> None:
    """Remove what parts left behind whose API process was killed."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - older_than_s:
            path.unlink(missing_ok=True)


class _Spool:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = hashlib.sha256()
        self.size = 0
        self._file = path.open("xb")

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self.digest.update(block)
        self.size += len(block)

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


async def spool_part(
    folder: Path, number: int, expected_bytes: int, stream: AsyncIterator[bytes]
) -> SpooledPart:
    """Write the stream to a file of exactly ``expected_bytes``.

    Raises:
        TooLarge: more bytes came; nothing beyond the limit was written.
        Unprocessable: fewer bytes came (``part_size_mismatch``).
        InsufficientStorage: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spool = await run_in_threadpool(_Spool, folder / uuid4().hex)
    try:
        await _drain(spool, expected_bytes, stream)
        if spool.size != expected_bytes:
            raise Unprocessable(
                f"part {number} has {expected_bytes} bytes, {spool.size} arrived; send it again",
                code="part_size_mismatch",
            )
        await run_in_threadpool(spool.finish)
    except BaseException as error:
        spool.abandon()
        if isinstance(error, OSError) and (problem := no_space(error)):
            raise problem from error
        raise
    return SpooledPart(number, spool.path, spool.size, spool.digest.hexdigest())


async def _drain(spool: _Spool, expected_bytes: int, stream: AsyncIterator[bytes]) -> None:
    pending = bytearray()
    received = 0
    async for chunk in stream:
        received += len(chunk)
        if received > expected_bytes:
            raise TooLarge(f"this part has {expected_bytes} bytes and not more")
        pending += chunk
        if len(pending) >= _BUFFER:
            await run_in_threadpool(spool.write, bytes(pending))
            pending.clear()
    if pending:
        await run_in_threadpool(spool.write, bytes(pending))
