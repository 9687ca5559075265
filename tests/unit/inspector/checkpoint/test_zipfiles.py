"""Zips whose two descriptions disagree, or that hide something, are refused with a reason."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from inspector.checkpoint.limits import Limits
from inspector.findings import Severity
from tests.support.checkpoints import coop_state, records_of, save_dassl, write_torch_zip
from tests.unit.inspector.checkpoint.conftest import Read, ids


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A CoOp file rewritten by :mod:`zipfile`, so that its layout is simple: no zip64."""
    path = save_dassl(tmp_path / "source.pth", coop_state())
    return write_torch_zip(tmp_path / "plain.pth", records_of(path))


def patched(path: Path, offset: int, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(data)
    return path


def central(path: Path, index: int = 0) -> int:
    """Offset of a row of the central directory."""
    data = path.read_bytes()
    position = struct.unpack_from("<I", data, len(data) - 6)[0]
    for _ in range(index):
        name, extra, comment = struct.unpack_from("<3H", data, position + 28)
        position += 46 + name + extra + comment
    return int(position)


def test_the_plain_file_is_fine(plain: Path, read: Read) -> None:
    assert read(plain).findings == ()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated(keep: float, genuine: Path, tmp_path: Path, read: Read) -> None:
    data = genuine.read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: int(len(data) * keep)])
    reading = read(path)
    assert ids(reading) == ["zip-truncated"]
    assert reading.findings[0].severity is Severity.HIGH
    assert reading.artifact.size == len(data[: int(len(data) * keep)])


def test_bad_checksum(genuine: Path, tmp_path: Path, read: Read) -> None:
    data = bytearray(genuine.read_bytes())
    position = data.find(b"archive/data/0")
    position = data.find(b"ZZZZ", position) + 200
    data[position] ^= 1
    path = tmp_path / "bad.pth"
    path.write_bytes(data)
    assert ids(read(path)) == ["zip-bad-crc"]


def test_duplicate_members(plain: Path, tmp_path: Path, read: Read) -> None:
    with zipfile.ZipFile(plain, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", b"N.")
    assert ids(read(plain)) == ["zip-duplicate-member"]


def test_duplicate_without_regard_to_case(plain: Path, read: Read) -> None:
    with zipfile.ZipFile(plain, "a") as archive:
        archive.writestr("archive/DATA.PKL", b"N.")
    assert ids(read(plain)) == ["zip-duplicate-member"]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "a\\b", "C:/x", "a//b"])
def test_unsafe_names(name: str, tmp_path: Path, read: Read) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"x")
        archive.writestr("prompt_learner/model.pth.tar-1", b"x")
    assert ids(read(path)) == ["zip-unsafe-name"]


@pytest.mark.parametrize("flag", [0x0001, 0x0040, 0x2000])
def test_encryption_flags(flag: int, plain: Path, read: Read) -> None:
    flags = struct.pack("<H", flag)
    patched(plain, central(plain) + 8, flags)
    assert ids(read(patched(plain, 6, flags))) == ["zip-encrypted"]


def test_a_flag_in_one_header_only(plain: Path, read: Read) -> None:
    assert ids(read(patched(plain, 6, b"\x01\x00"))) == ["zip-header-mismatch"]


def test_a_name_in_one_header_only(plain: Path, read: Read) -> None:
    assert ids(read(patched(plain, 30, b"Archive"))) == ["zip-header-mismatch"]


def test_sizes_that_disagree(plain: Path, read: Read) -> None:
    assert ids(read(patched(plain, 18, b"\x01\x00\x00\x00"))) == ["zip-header-mismatch"]


def test_a_descriptor_that_disagrees(genuine: Path, tmp_path: Path, read: Read) -> None:
    data = bytearray(genuine.read_bytes())
    position = data.find(b"PK\x07\x08") + 4
    data[position] ^= 1
    path = tmp_path / "bad.pth"
    path.write_bytes(data)
    assert ids(read(path)) == ["zip-header-mismatch"]


def test_an_overlap(plain: Path, read: Read) -> None:
    row = central(plain, 1)
    assert ids(read(patched(plain, row + 42, b"\x00\x00\x00\x00"))) == ["zip-malformed"]


def test_bytes_before_the_first_member(plain: Path, read: Read) -> None:
    plain.write_bytes(b"PK\x03\x04" + plain.read_bytes())
    assert ids(read(plain)) == ["zip-malformed"]


def test_bytes_after_the_end(plain: Path, read: Read) -> None:
    plain.write_bytes(plain.read_bytes() + b"more")
    assert ids(read(plain)) == ["zip-malformed"]


def test_a_zip_behind_another_format(plain: Path, tmp_path: Path, read: Read) -> None:
    path = tmp_path / "both.pt"
    path.write_bytes(b"\x80\x02N." + plain.read_bytes())
    assert ids(read(path)) == ["polyglot"]


def test_a_zip_that_is_a_tar(tmp_path: Path, read: Read) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x" * 300, b"")
    data = bytearray(buffer.getvalue())
    data[257:262] = b"ustar"
    path = tmp_path / "both.zip"
    path.write_bytes(data)
    assert ids(read(path)) == ["polyglot"]


def test_a_forged_count_of_members(plain: Path, read: Read) -> None:
    size = plain.stat().st_size
    count = struct.pack("<2H", 60_000, 60_000)
    assert ids(read(patched(plain, size - 14, count))) == ["limit-exceeded"]


def test_a_compressed_record(tmp_path: Path, plain: Path, read: Read) -> None:
    path = tmp_path / "deflated.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records_of(plain).items():
            archive.writestr(f"archive/{name}", content)
    assert ids(read(path)) == ["torch-malformed"]


@pytest.mark.parametrize("name", ["extra.pkl", "data.pkl/x", "../archive2/data.pkl"])
def test_unexpected_records(name: str, plain: Path, read: Read) -> None:
    with zipfile.ZipFile(plain, "a") as archive:
        archive.writestr(f"archive/{name}", b"N.")
    assert ids(read(plain)) in (["torch-malformed"], ["zip-unsafe-name"])


def test_two_roots(plain: Path, read: Read) -> None:
    with zipfile.ZipFile(plain, "a") as archive:
        archive.writestr("other/data.pkl", b"N.")
    assert ids(read(plain)) == ["torch-malformed"]


def test_torchscript_is_a_program(plain: Path, read: Read) -> None:
    with zipfile.ZipFile(plain, "a") as archive:
        archive.writestr("archive/code/__torch__.py", b"")
    assert ids(read(plain)) == ["unsupported-format"]


def test_big_endian(plain: Path, tmp_path: Path, read: Read) -> None:
    records = records_of(plain) | {"byteorder": b"big"}
    assert ids(read(write_torch_zip(tmp_path / "big.pth", records))) == ["unsupported-format"]


def test_trailing_bytes_after_the_pickle(plain: Path, tmp_path: Path, read: Read) -> None:
    records = records_of(plain)
    records["data.pkl"] += b"cos\nsystem\n."
    reading = read(write_torch_zip(tmp_path / "more.pth", records))
    assert ids(reading) == ["pickle-code-execution", "pickle-trailing-bytes"]
    records["data.pkl"] = records["data.pkl"].removesuffix(b"cos\nsystem\n.") + b"and more"
    reading = read(write_torch_zip(tmp_path / "text.pth", records))
    assert ids(reading) == ["pickle-trailing-bytes"]


def test_limits(genuine: Path, read: Read) -> None:
    assert ids(read(genuine, Limits(artifact_bytes=1000))) == ["limit-exceeded"]
    assert ids(read(genuine, Limits(archive_members=2))) == ["limit-exceeded"]
    assert ids(read(genuine, Limits(pickle_bytes=100))) == ["limit-exceeded"]
    assert ids(read(genuine, Limits(output_bytes=100))) == ["limit-exceeded"]
    assert ids(read(genuine, Limits(tensors=2))) == ["limit-exceeded"]
