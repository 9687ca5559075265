"""What fuzzing found, minimised: bytes that the reader once took for something else than others do.

One row per input, with what was wrong. Each ends in a finding now.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors

from inspector.checkpoint.formats.safetensors import read_views
from inspector.checkpoint.formats.tars import read_members as read_tar
from inspector.checkpoint.formats.zipfiles import read_members
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.rebuild import StorageId
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.checkpoint.reasons import report
from inspector.checkpoint.source import open_source
from inspector.checkpoint.tensors import Storage, View, check_view
from inspector.errors import ArtifactError, MalformedArtifact, UnsupportedFormat


def small_zip(name: str = "a") -> bytearray:
    """A sound zip of one member, 1 byte long."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return bytearray(file.getvalue())


def row_of(data: bytes | bytearray) -> int:
    """Offset of the only row of the central directory."""
    return data.index(b"PK\1\2")


def names_in(data: bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "zip"
    path.write_bytes(data)
    with open_source(path) as source:
        return [member.name for member in read_members(source, Limits())]


def test_a_frame_that_holds_two_pickles() -> None:
    """CPython's unpickler in C reads the second pickle behind STOP, that in Python behind the frame."""
    frame = b"\x80\x04\x95" + struct.pack("<Q", 4)
    assert walk(frame + b"NK\x01.", Ledger(9), Limits()).end == 15
    with pytest.raises(MalformedArtifact, match="ends inside its frame"):
        walk(frame + b"N.N.", Ledger(9), Limits())


def needing_version_255() -> bytes:
    data = small_zip()
    data[row_of(data) + 6] = 255
    return bytes(data)


def with_wrong_utf8() -> bytes:
    data = small_zip("é")  # zipfile sets the flag that says UTF-8.
    return bytes(data).replace("é".encode(), b"\xe9a")


def with_a_locator_on_another_disk() -> bytes:
    data = bytes(small_zip())
    head, end = data[:-22], data[-22:]
    size, start = struct.unpack_from("<2I", end, 12)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 1, len(head), 1)
    return head + end64 + locator + end


@pytest.mark.parametrize(
    "make", [needing_version_255, with_wrong_utf8, with_a_locator_on_another_disk]
)
def test_a_zip_that_others_refuse(make: Callable[[], bytes], tmp_path: Path) -> None:
    with pytest.raises((NotImplementedError, UnicodeDecodeError, zipfile.BadZipFile)):
        zipfile.ZipFile(io.BytesIO(make()))
    with pytest.raises(ArtifactError):
        names_in(make(), tmp_path)


def test_a_name_without_the_flag_for_utf8(tmp_path: Path) -> None:
    """It was taken for UTF-8 where it happened to be valid; :mod:`zipfile` takes it for cp437."""
    data = bytes(small_zip("__")).replace(b"__", "é".encode())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert names_in(data, tmp_path) == archive.namelist() == ["├⌐"]


def safetensors_file(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"U8","shape":[0],"data_offsets":[-0,0]}}',
        '{"a":{"dtype":"U8","shape":[18446744073709551616,0],"data_offsets":[0,0]}}',
        '{"a":{"dtype":"U8","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}}',
        '{"__metadata__":{"a":"\\ud800"}}',
    ],
)
def test_a_safetensors_header_that_the_library_refuses(header: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_file(header))
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(path.read_bytes())
    with open_source(path) as source, pytest.raises(MalformedArtifact):
        read_views(source, Limits())


@pytest.mark.parametrize("row", ['{"dtype":"F4","shape":[],"data_offsets":[0,0]}', "0"])
def test_a_name_that_changes_the_message(row: str, tmp_path: Path) -> None:
    """A right-to-left mark in the name of a tensor came through into the finding."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_file(f'{{"a\u202e":{row}}}'))
    with open_source(path) as source, pytest.raises(ArtifactError) as caught:
        read_views(source, Limits())
    assert caught.value.detail.isascii()


def test_an_empty_tensor_of_impossible_sizes() -> None:
    """Its canonical copy had a header that the safetensors library refuses."""
    view = View("ctx", "F32", (2**70, 0), (0, 1), 0, Storage(0, 0))
    with pytest.raises(MalformedArtifact, match="60 bits"):
        check_view(view, Limits())


def tar_of(*members: tuple[tarfile.TarInfo, bytes], layout: int = tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=layout) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def sealed(data: bytes, **fields: bytes) -> bytes:
    """``data`` with other fields in its first header, and the checksum that belongs to them."""
    header = bytearray(data[:512])
    for name, value in fields.items():
        offset = {"kind": 156, "group": 116, "magic": 257, "prefix": 345}[name]
        header[offset : offset + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def tar_with_another_prefix() -> bytes:
    return sealed(tar_of((tarfile.TarInfo("a"), b"x")), magic=b"ustar ", prefix=b"b")


def tar_with_a_bad_number() -> bytes:
    """tarfile stops at it without a word, so that members after it are seen by others only."""
    return sealed(tar_of((tarfile.TarInfo("a"), b"x")), group=b"9")


def tar_with_a_lonely_extension() -> bytes:
    return sealed(tar_of((tarfile.TarInfo("a"), b"b\0")), kind=b"K")


def tar_with_two_lengths() -> bytes:
    """A long name that some readers end at its size, others at its first zero."""
    name = tar_of((tarfile.TarInfo("././@LongLink"), b"ab"), (tarfile.TarInfo("c"), b""))
    return sealed(name, kind=b"L")


def tar_with_a_name_that_is_no_text() -> bytes:
    record = b"11 path=\xff\xff\n"
    return sealed(
        tar_of((tarfile.TarInfo("PaxHeader"), record), (tarfile.TarInfo("c"), b"")), kind=b"x"
    )


def tar_with_a_file_called_folder() -> bytes:
    extension = tarfile.TarInfo("PaxHeader")
    return sealed(tar_of((extension, b"11 path=a/\n"), (tarfile.TarInfo("c"), b"")), kind=b"x")


def tar_with_an_unknown_character_set() -> bytes:
    record = b"16 hdrcharset=\xff\n"
    return sealed(
        tar_of((tarfile.TarInfo("PaxHeader"), record), (tarfile.TarInfo("c"), b"")), kind=b"x"
    )


def tar_with_more_after_a_record() -> bytes:
    data = tar_of((tarfile.TarInfo("PaxHeader"), b"10 path=a\n"), (tarfile.TarInfo("c"), b""))
    return sealed(data[:522] + b"10 path=b\n" + data[532:], kind=b"x")


@pytest.mark.parametrize(
    "make",
    [
        tar_with_another_prefix,
        tar_with_a_bad_number,
        tar_with_a_lonely_extension,
        tar_with_two_lengths,
        tar_with_a_name_that_is_no_text,
        tar_with_a_file_called_folder,
        tar_with_an_unknown_character_set,
        tar_with_more_after_a_record,
    ],
)
def test_a_tar_that_others_read_differently(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(make())
    with open_source(path) as source, pytest.raises(MalformedArtifact) as caught:
        list(read_tar(source, Limits()))
    assert caught.value.finding_id == "archive-malformed"
    assert "checksum" not in caught.value.detail


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_honest_tar_with_long_names(layout: int, tmp_path: Path) -> None:
    name = "d" * 90 + "/" + "f" * 60 + "/model.pth.tar-1"
    name = name if layout == tarfile.USTAR_FORMAT else "ä" * 140
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of((tarfile.TarInfo(name), b"x"), layout=layout))
    with open_source(path) as source:
        assert [member.name for member in read_tar(source, Limits())] == [name]


def test_a_record_marked_as_a_folder(tmp_path: Path) -> None:
    """torch reads nothing of it, says nothing, and returns memory that it never wrote to."""
    data = small_zip()
    data[row_of(data) + 38] |= 0x10
    with pytest.raises(MalformedArtifact, match="marked as a folder"):
        names_in(bytes(data), tmp_path)


def test_a_name_as_long_as_the_file() -> None:
    """A type of storage, 200,000 characters long, stood in the finding."""
    with pytest.raises(UnsupportedFormat) as caught:
        _ = StorageId("0", "x" * 200_000, 1).dtype
    assert len(report(caught.value.finding_id, caught.value.detail).message) <= 4000
