"""Take one part off the wire: to disk, counted and hashed, never in memory as a whole.

Knows neither database nor store. A part that ends early, grows too long or meets a full disk
leaves no file behind.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from app import leftovers
from app.errors import AppError, InsufficientStorage, TooLarge, Unprocessable
from app.uploads.service import SpooledPart

_BUFFER = 1 << 20


def no_space(error: OSError) -> AppError | None:
    """The problem to answer when a write failed because the disk (or a quota) is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientStorage("the server's disk is full; nothing was lost, try again later")
    return None


class _Spool:
    def __init__(self, folder: Path) -> None:
        self._file = leftovers.new_file(folder)
        self.path = Path(self._file.name)
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self.digest.update(block)
        self.size += len(block)

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        # Closing writes what is buffered, for which there may be no room; nobody wants it any more.
        with suppress(OSError):
            self._file.close()


@asynccontextmanager
async def spooled_part(
    folder: Path, number: int, expected_bytes: int, stream: AsyncIterator[bytes]
) -> AsyncIterator[SpooledPart]:
    """The stream as a file of exactly ``expected_bytes``, which is gone at the end of the block.

    Raises:
        TooLarge: more bytes came; nothing beyond the limit was written.
        Unprocessable: fewer bytes came (``part_size_mismatch``).
        InsufficientStorage: the disk is full.
    """
    try:
        spool = await run_in_threadpool(_Spool, folder)
        try:
            await _drain(spool, expected_bytes, stream)
            if spool.size != expected_bytes:
                raise Unprocessable(
                    f"part {number} has {expected_bytes} bytes, {spool.size} arrived; send it "
                    "again",
                    code="part_size_mismatch",
                )
            await run_in_threadpool(spool.finish)
            yield SpooledPart(number, spool.path, spool.size, spool.digest.hexdigest())
        finally:
            spool.drop()
    except OSError as error:
        if problem := no_space(error):
            raise problem from error
        raise


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
