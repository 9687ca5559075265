"""A small index of a backbone's token embedding: enough to name the tokens of rows, not to use.

Of every row six bytes are kept, the BLAKE2b of its values rounded to fp16, in the order of the ids:
296 KB for CLIP's 49,408 tokens. Rounding to nearest even makes rows in F16, F32 and F64 of one
backbone agree, whichever of them it was stored in. BF16 keeps fewer bits than fp16 and is not
covered; nor are rows that were averaged or tuned, since these are no row of a backbone.

A row decodes only if exactly one entry has its hash; :func:`build_index` refuses a table in which
two have. By chance two of 49,408 different rows share one with probability 4.3e-6, and a
foreign row is taken for one of ours with 1.8e-10. On purpose a row with the hash of a given
token takes 2^48 trials, and a change smaller than the rounding takes none: the index names
classes, whether a file is bit for bit the backbone's only the backbone can tell. Torch-free;
does not know what a file is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from inspector.checkpoint.canonical import whole_file
from inspector.errors import BackboneError, RequestError

_FORMAT = "clipvet-token-index-1"
_HASH_BYTES = 6
_TENSOR = "hashes"
SHIPPED = Path(__file__).parent / "vocabularies"
"""The indexes that come with clipvet, one file a backbone."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class TokenIndex:
    """The hashes (V, 6) of one token embedding of ``width`` columns.

    ``name`` and ``sha256`` are those of the backbone whose weights it was made of.
    """

    name: str
    sha256: str
    width: int
    hashes: NDArray[np.uint8]

    def tokens_of(self, rows: NDArray[Any]) -> Ids:
        """Token ids of embedding rows (..., W) in F16, F32 or F64; -1 where none has the hash."""
        rounded = _rounded(rows.reshape(-1, rows.shape[-1]))
        unique, inverse = np.unique(rounded.view(f"V{2 * self.width}")[:, 0], return_inverse=True)
        wanted = _numbers(_hashes(unique.view(np.float16).reshape(len(unique), self.width)))
        numbers = _numbers(self.hashes)
        order = np.argsort(numbers)
        place = np.searchsorted(numbers, wanted, sorter=order).clip(max=len(order) - 1)
        found = np.where(numbers[order[place]] == wanted, order[place], -1)
        ids: Ids = found[inverse.reshape(-1)].reshape(rows.shape[:-1])
        return ids


def build_index(name: str, sha256: str, table: NDArray[Any]) -> TokenIndex:
    """The index of a token embedding (V, W) in F16, F32 or F64.

    Raises:
        BackboneError: two rows have one hash, so that neither could be named.
    """
    hashes = _hashes(_rounded(table))
    if len(np.unique(_numbers(hashes))) != len(table):
        raise BackboneError(name, "two rows of its token embedding cannot be told apart in fp16")
    return TokenIndex(name, sha256, table.shape[1], hashes)


def save_index(index: TokenIndex, path: Path) -> None:
    """Raises ``StorageFull`` when ``path`` cannot be written."""
    stated = {"name": index.name, "sha256": index.sha256, "width": index.width}
    # One entry only: safetensors writes several in any order.
    metadata = {_FORMAT: json.dumps(stated)}
    with whole_file(path) as file:
        file.write(save({_TENSOR: index.hashes}, metadata))


def load_index(path: Path) -> TokenIndex:
    """Raises ``RequestError`` when the file at ``path`` is no index."""
    try:
        with safe_open(path, framework="numpy") as file:
            stated = json.loads((file.metadata() or {})[_FORMAT])
            hashes = file.get_tensor(_TENSOR)
            if hashes.dtype != np.uint8 or hashes.shape != (len(hashes) or 1, _HASH_BYTES):
                raise ValueError("hashes of another size")
            name, sha256, width = (stated[key] for key in ("name", "sha256", "width"))
            return TokenIndex(str(name), str(sha256), int(width), hashes)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise RequestError("index", f"{path} is no token index: {problem}") from problem


def shipped_indexes() -> Iterator[TokenIndex]:
    """All indexes that come with clipvet, by file name."""
    for path in sorted(SHIPPED.glob("*.safetensors")):
        yield load_index(path)


def _rounded(rows: NDArray[Any]) -> NDArray[np.float16]:
    # Values beyond fp16 become infinite, which is as good a value to hash as any.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows.astype(np.float16))


def _hashes(rows: NDArray[np.float16]) -> NDArray[np.uint8]:
    digests = [hashlib.blake2b(row.tobytes(), digest_size=_HASH_BYTES).digest() for row in rows]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(rows), _HASH_BYTES)


def _numbers(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    wide = np.zeros((len(hashes), 8), np.uint8)
    wide[:, :_HASH_BYTES] = hashes
    return wide.view(np.uint64)[:, 0]
