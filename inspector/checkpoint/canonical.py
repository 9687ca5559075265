"""Writing the canonical tensors: safetensors whose bytes depend on the tensors alone.

Tensors are ordered by value size (largest first, which keeps them aligned) and name, the header has
sorted keys, no metadata and is padded with blanks to eight bytes. The same tensors therefore give
the same SHA-256 whatever container they came in. Values pass through in pieces; on the way the
non-finite ones are counted. Knows no family. A file appears under its name only when complete.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.nonfinite import count_nonfinite
from inspector.checkpoint.reading import TensorInfo
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import View, values
from inspector.errors import LimitExceeded, StorageFull

_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file for writing that takes the name ``path`` only when the block ends well.

    Raises:
        StorageFull: the disk, not the content, is the trouble.
        LimitExceeded: the file grew over the process's own file size limit.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        if error.errno == errno.EFBIG:
            written = part.stat().st_size
            raise LimitExceeded("bytes written", written, written + 1) from error
        if error.errno in _DISK_TROUBLE:
            raise StorageFull(path, os.strerror(error.errno or 0)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_canonical(
    source: Source, views: Sequence[View], path: Path | None, limits: Limits
) -> tuple[tuple[TensorInfo, ...], str]:
    """Write ``views`` to ``path`` and describe them, in order of name, with the file's SHA-256.

    With ``path`` None nothing is written; the tensors are still read and counted.

    Raises:
        LimitExceeded: the tensors together are over ``limits.output_bytes``.
        UnsupportedFormat: see :func:`inspector.checkpoint.tensors.is_scattered`.
        StorageFull: see :func:`whole_file`.
    """
    total = sum(view.size for view in views)
    if total > limits.output_bytes:
        raise LimitExceeded("bytes of all tensors", limits.output_bytes, total)
    ordered = sorted(views, key=lambda view: (-view.item_size, view.name))
    counts: dict[str, int] = {}
    digest = hashlib.sha256()
    pieces = _pieces(source, ordered, limits, counts)
    if path is None:
        for piece in pieces:
            digest.update(piece)
    else:
        with whole_file(path) as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
    described = (
        TensorInfo(view.name, view.shape, view.dtype, counts[view.name])
        for view in sorted(views, key=lambda view: view.name)
    )
    return tuple(described), digest.hexdigest()


def _pieces(
    source: Source, ordered: Sequence[View], limits: Limits, counts: dict[str, int]
) -> Iterator[bytes]:
    header = _header(ordered)
    yield len(header).to_bytes(8, "little")
    yield header
    for view in ordered:
        counts[view.name] = 0
        for piece in values(source, view, limits):
            counts[view.name] += count_nonfinite(piece, view.dtype)
            yield piece


def _header(ordered: Sequence[View]) -> bytes:
    rows, position = {}, 0
    for view in ordered:
        rows[view.name] = {
            "data_offsets": [position, position + view.size],
            "dtype": view.dtype,
            "shape": list(view.shape),
        }
        position += view.size
    text = json.dumps(rows, sort_keys=True, separators=(",", ":")).encode("ascii")
    return text + b" " * (-len(text) % 8)
