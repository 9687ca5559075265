"""Files of torch before 1.6: read like new ones, and their sizes are not believed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from tests.support.checkpoints import coop_state, save_dassl
from tests.unit.inspector.checkpoint.conftest import Read, ids


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    return save_dassl(tmp_path / "old.pth", coop_state(), legacy=True)


def test_reads_like_the_zip(legacy: Path, tmp_path: Path, read: Read) -> None:
    old, new = read(legacy), read(save_dassl(tmp_path / "new.pth", coop_state()))
    assert old.artifact.format == "torch-legacy"
    assert (old.findings, old.family) == ((), "CoOp")
    assert old.canonical_sha256 == new.canonical_sha256
    assert old.globals == new.globals


def test_truncated(legacy: Path, read: Read) -> None:
    data = legacy.read_bytes()
    for keep in (20, len(data) // 2, len(data) - 1):
        legacy.write_bytes(data[:keep])
        assert ids(read(legacy))[0] in ("legacy-malformed", "pickle-malformed")


def test_bytes_at_the_end(legacy: Path, read: Read) -> None:
    legacy.write_bytes(legacy.read_bytes() + b"x")
    assert ids(read(legacy)) == ["legacy-malformed"]


def test_a_small_file_that_asks_for_gigabytes(tmp_path: Path, read: Read) -> None:
    """The published allocation bomb: a few hundred bytes that declare a huge storage."""
    path = tmp_path / "bomb.pth"
    torch.save({"ctx": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"K\x04N", b"J\xff\xff\xff\x7fN", 1))
    reading = read(path)
    assert ids(reading) == ["legacy-malformed"]
    assert path.stat().st_size < 1000


@pytest.mark.parametrize("part", range(5))
def test_a_payload_in_any_of_the_five_pickles(part: int, tmp_path: Path, read: Read) -> None:
    parts = [
        pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        pickle.dumps(1001, 2),
        pickle.dumps({"little_endian": True}, 2),
        pickle.dumps({}, 2),
        pickle.dumps([], 2),
    ]
    payload = b"cos\nsystem\n(X\x01\x00\x00\x00xtR0"
    # In the first pickle the payload comes after the magic number, which torch looks for.
    parts[part] = parts[part][:-1] + payload + b"."
    path = tmp_path / "x.pth"
    path.write_bytes(b"".join(parts))
    reading = read(path)
    assert ids(reading)[0] == "pickle-code-execution"
    assert "os.system" in reading.findings[0].message
