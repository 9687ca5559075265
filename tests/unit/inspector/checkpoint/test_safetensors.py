"""Safetensors in: every rule of the format is checked. Out: the same tensors, the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from inspector.checkpoint import read_artifact
from inspector.checkpoint.limits import Limits
from tests.support.checkpoints import coop_state, save_dassl, torch_bytes
from tests.unit.inspector.checkpoint.conftest import Read, ids


def contiguous(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in state.items()}


def file_of(path: Path, header: object, data: bytes, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path


def row(begin: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> object:
    return {"dtype": dtype, "shape": shape or [(end - begin) // 4], "data_offsets": [begin, end]}


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    state = contiguous(coop_state())
    safetensors.torch.save_file(state, tmp_path / "a.safetensors", {"note": "mine"})
    reading = read_artifact(tmp_path / "a.safetensors", tmp_path / "out")
    assert (reading.family, reading.findings) == ("CoOp", ())
    assert reading.metadata == {"note": "mine"}
    loaded = safetensors.torch.load_file(tmp_path / "out" / "canonical.safetensors")
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path, read: Read) -> None:
    state = coop_state()
    hashes = set()
    for name, protocol in (("a", 2), ("b", 4)):
        shuffled = dict(reversed(state.items())) if name == "b" else state
        (tmp_path / name).write_bytes(torch_bytes(shuffled, protocol))
        hashes.add(read(tmp_path / name).canonical_sha256)
    hashes.add(read(save_dassl(tmp_path / "c", state)).canonical_sha256)
    hashes.add(read(save_dassl(tmp_path / "d", state, legacy=True)).canonical_sha256)
    safetensors.torch.save_file(contiguous(state), tmp_path / "e")
    hashes.add(read(tmp_path / "e").canonical_sha256)
    assert len(hashes) == 1
    assert None not in hashes
    hashes.add(read(save_dassl(tmp_path / "f", coop_state(seed=1))).canonical_sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("header", "data", "finding"),
    [
        ({"a": row(0, 16)}, bytes(16), "unknown-family"),
        ({"a": row(0, 16)}, bytes(15), "safetensors-malformed"),
        ({"a": row(0, 16)}, bytes(17), "safetensors-malformed"),
        ({"a": row(4, 16)}, bytes(16), "safetensors-malformed"),
        ({"a": row(0, 16), "b": row(8, 24)}, bytes(24), "safetensors-malformed"),
        ({"a": row(0, 16), "b": row(20, 24)}, bytes(24), "safetensors-malformed"),
        ({"a": row(0, 16, [5])}, bytes(16), "safetensors-malformed"),
        ({"a": row(0, 16, [2**62, 4])}, bytes(16), "safetensors-malformed"),
        ({"a": row(0, 16, [-2, -2])}, bytes(16), "safetensors-malformed"),
        ({"a": row(16, 0, [4])}, bytes(16), "safetensors-malformed"),
        ({"a": row(0, 16, [True])}, bytes(16), "safetensors-malformed"),
        ({"a": row(0, 16, [4], "C64")}, bytes(16), "unsupported-tensor"),
        ({"a": row(0, 4, [1] * 20)}, bytes(4), "limit-exceeded"),
        ({"a" * 600: row(0, 16)}, bytes(16), "limit-exceeded"),
        ({"a\u202e": row(0, 16)}, bytes(16), "tensor-malformed"),
        ({"a": [1]}, bytes(16), "safetensors-malformed"),
        ({"__metadata__": {"x": 1}}, b"", "safetensors-malformed"),
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":1}',
            bytes(4),
            "duplicate-key",
        ),
        (b"{" + b'"a":{' * 5000, b"", "safetensors-malformed"),
        (b"{nonsense", b"", "safetensors-malformed"),
        (b"{\xff}", b"", "safetensors-malformed"),
        ({}, b"", "unknown-family"),
    ],
)
def test_rules(header: object, data: bytes, finding: str, tmp_path: Path, read: Read) -> None:
    reading = read(file_of(tmp_path / "x.safetensors", header, data))
    assert ids(reading) == [finding]
    assert reading.artifact.format == "safetensors"


@pytest.mark.parametrize(("length", "finding"), [(90_000_000, "limit-exceeded"), (50, None)])
def test_a_forged_header_length(
    length: int, finding: str | None, tmp_path: Path, read: Read
) -> None:
    path = file_of(tmp_path / "x.safetensors", b"{}" + b" " * 20, b"", length)
    assert ids(read(path)) == [finding or "safetensors-malformed"]


def test_a_length_beyond_all_bounds_is_no_safetensors(tmp_path: Path, read: Read) -> None:
    path = file_of(tmp_path / "x.safetensors", b"{}", b"", 2**63)
    assert ids(read(path)) == ["not-a-checkpoint"]


def test_a_header_of_many_keys(tmp_path: Path, read: Read) -> None:
    header = {f"k{index}": row(0, 0, [0]) for index in range(11_000)}
    path = file_of(tmp_path / "x.safetensors", header, b"")
    assert ids(read(path, Limits())) == ["limit-exceeded"]


def test_not_a_checkpoint(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "x.pth"
    for content, finding in (
        (b"", "empty-file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not-a-checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not-a-checkpoint"),
        (b"<html>", "not-a-checkpoint"),
        (bytes(1000), "not-a-checkpoint"),
    ):
        path.write_bytes(content)
        assert ids(read(path)) == [finding]
