"""What reading holds in memory: a piece at a time, whatever lies between the values."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.nonfinite import count_nonfinite
from inspector.checkpoint.source import open_source
from inspector.checkpoint.tensors import Storage, View, values


@pytest.fixture
def rows_of_an_embedding(tmp_path: Path) -> Path:
    """48 MiB: 300 prompts of 80 tokens of width 512 in fp32; row r begins with the number r."""
    path = tmp_path / "storage"
    with path.open("wb") as file:
        for row in range(300 * 80):
            file.write(struct.pack("<I2044x", row))
    return path


@pytest.mark.parametrize(("offset", "tokens"), [(0, 1), (3, 77)])
def test_tokens_of_every_prompt_are_read_without_the_rest(
    rows_of_an_embedding: Path, offset: int, tokens: int
) -> None:
    storage = Storage(0, rows_of_an_embedding.stat().st_size)
    view = View("t", "F32", (300, tokens, 512), (80 * 512, 512, 1), offset * 512, storage)
    firsts: list[int] = []
    with open_source(rows_of_an_embedding) as source:
        tracemalloc.start()
        for piece in values(source, view, Limits()):
            assert len(piece) % 2048 == 0
            firsts += struct.unpack("<" + "I2044x" * (len(piece) // 2048), piece)
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert firsts == [80 * p + offset + t for p in range(300) for t in range(tokens)]
    assert peak < 2 * MIB


def test_large_finite_values_are_told_from_infinity() -> None:
    """In BF16 and F32 they share the highest byte, which the quick look goes by."""
    largest = {"F16": b"\xff\x7b", "BF16": b"\x7f\x7f", "F32": b"\xff\xff\x7f\x7f"}
    infinite = {"F16": b"\x00\x7c", "BF16": b"\x80\x7f", "F32": b"\x00\x00\x80\x7f"}
    for dtype, value in largest.items():
        block = value * 1000 + infinite[dtype] + b"\x00" * 8
        assert count_nonfinite(value * 1000, dtype) == 0
        assert count_nonfinite(block, dtype) == 1
