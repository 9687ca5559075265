"""Reading class names out of a checkpoint: embedding rows back to token ids, ids back to text.

CoOp-family files keep `token_suffix`, the frozen embeddings of all tokens behind the context. Each
of its rows is bit for bit a row of the backbone's token embedding, so the ids come back exactly;
loaders ignore these rows, so a vendor has no reason to touch them. Torch-free (numpy and the merges
file of open_clip's tokenizer), so that the static scan can name classes too. Does not know what
class names are expected.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.findings import Finding, Severity

START_OF_TEXT = 49406
END_OF_TEXT = 49407
FULL_STOP = 269
"""The token of "." at the end of a word."""
_MERGES = 49152 - 256 - 2

Ids = NDArray[np.int64]


def rows_to_tokens(rows: NDArray[Any], table: NDArray[Any]) -> Ids:
    """Token ids of embedding rows, -1 where no row of the table has the same bits.

    Args:
        rows: (..., W), of any type of number.
        table: (V, W) token embedding, already rounded to the type of `rows`.

    Returns:
        (...), the smallest id where several rows of the table are equal.
    """
    flat = _bits(rows.reshape(-1, rows.shape[-1]))
    table_bits = _bits(table)
    unique, inverse = np.unique(flat.view(f"V{flat.shape[1]}")[:, 0], return_inverse=True)
    unique_bits = unique.view(np.uint8).reshape(len(unique), -1)
    keys = _keys(table_bits)
    order = np.argsort(keys, kind="stable")
    wanted = _keys(unique_bits)
    first = np.searchsorted(keys, wanted, "left", sorter=order)
    last = np.searchsorted(keys, wanted, "right", sorter=order)
    found = np.full(len(unique), -1, np.int64)
    for index, (start, stop) in enumerate(zip(first, last, strict=True)):
        candidates = order[start:stop]
        same = candidates[(table_bits[candidates] == unique_bits[index]).all(1)]
        if len(same):
            found[index] = same[0]
    return found[inverse].reshape(rows.shape[:-1])


def _bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _keys(bits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first eight bytes of each row as one number: few rows share it, so little is compared."""
    head = np.zeros((len(bits), 8), np.uint8)
    width = min(8, bits.shape[1])
    head[:, :width] = bits[:, :width]
    return head.view(np.uint64)[:, 0]


def find_altered(ids: Ids) -> Finding | None:
    """A finding when `token_suffix`, as ids (K, L-1-M), is not what the original code writes."""
    unknown = np.argwhere(ids < 0)
    if len(unknown):
        row, column = unknown[0]
        message = (
            f"{len(unknown)} of {ids.size} rows of token_suffix are no row of the backbone's token "
            f"embedding, the first is row {column} of class {row}"
        )
    else:
        is_end = ids == END_OF_TEXT
        behind = is_end.cumsum(1) - is_end > 0
        odd = np.flatnonzero(~is_end.any(1) | (behind & (ids != 0)).any(1))
        if not len(odd):
            return None
        message = f"token_suffix of class {odd[0]} does not end in one end of text and padding"
    return Finding("token-suffix-altered", Severity.HIGH, message)


def prompts_of(ids: Ids) -> list[tuple[int, ...]]:
    """For each row of suffix ids (K, S) its tokens before the first end of text."""
    prompts = []
    for row in ids.tolist():
        end = row.index(END_OF_TEXT) if END_OF_TEXT in row else len(row)
        prompts.append(tuple(row[:end]))
    return prompts


@cache
def _vocabulary() -> list[bytes]:
    """The bytes of each token of CLIP's byte-pair encoding; a word's last token ends in "</w>"."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("open_clip is not installed")
    path = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : _MERGES + 1]
    symbols = _byte_symbols()
    units = list(symbols.values())
    words = units + [unit + "</w>" for unit in units] + [line.replace(" ", "") for line in lines]
    back = {symbol: byte for byte, symbol in symbols.items()}
    return [bytes(back[symbol] for symbol in word) for word in words]


def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable stand-in for every byte, in the order of the vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    return symbols | {byte: chr(256 + index) for index, byte in enumerate(others)}


def tokens_to_text(tokens: Sequence[int]) -> str:
    """Readable text of token ids; start, end and unknown ids are left out.

    Punctuation comes back as a word of its own ("t - shirt"), which tokenises to the same ids.
    """
    words = _vocabulary()
    joined = b"".join(words[token] for token in tokens if 0 <= token < len(words))
    return joined.decode("utf-8", "replace").replace("</w>", " ").strip()
