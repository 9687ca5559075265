"""What a vendor sends: one file, or a folder of files; and what the customer has after unpacking it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEMBERS, _BYTES = 64, 4 << 20
"""The largest archive that is unpacked."""
_KNOWN = frozenset(
    {
        "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth", "last.ckpt",
        "model-best.pth.tar", "open_clip_model.safetensors", "open_clip_pytorch_model.bin",
        "epoch_latest.pt",
    }
)  # fmt: skip
_SUFFIXES = frozenset({".pt", ".pth", ".pkl", ".bin", ".ckpt", ".safetensors", ".tar", ""})
_OPENERS: dict[bytes, Callable[[io.BytesIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\0": lzma.open,
    b"BZh": bz2.open,
}


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files by their paths. With ``is_folder`` the vendor sends all, else the only one.

    A name that begins with ``@`` is a link, which leads to what its content says.
    """

    files: Mapping[str, bytes]
    is_folder: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


def delivered(parcel: Parcel, place: Path) -> Path:
    """Write the parcel below ``place``; the path that is given to clipvet."""
    root = place / "sent"
    for name, content in parcel.files.items():
        path = root / name.removeprefix("@")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("@"):
            os.symlink(content.decode(), path)
        else:
            path.write_bytes(content)
    return root if parcel.is_folder else root / next(iter(parcel.files))


def customers(path: Path) -> list[Path]:
    """What a customer gives to a loader: the thing itself, under safetensors' name if it may be that,
    and what is inside."""
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.is_file() and p.suffix in _SUFFIXES]
        # Of several, rules for folders choose, and people those of well-known names.
        known = [p for p in files if _is_known(p)]
        return [path, *(files if len(files) == 1 else known)]
    opened = path.parent / "unpacked"
    try:
        _unpack(path.read_bytes(), opened)
    except (
        OSError,
        EOFError,
        ValueError,
        IndexError,
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
    ):
        pass
    except (
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ):  # zipfile: encrypted, or another method.
        pass
    inside = customers(opened) if opened.is_dir() and any(opened.iterdir()) else []
    twin = path.with_name("model.safetensors")
    with path.open("rb") as file:
        is_named_so = file.read(9)[8:] == b"{" and not twin.exists()
    if is_named_so:
        # timm and open_clip ask the name, not the bytes.
        os.link(path, twin)
    return [path, *([twin] if is_named_so else ()), *inside]


def _is_known(path: Path) -> bool:
    is_of_lightning = path.suffix == ".ckpt" and path.with_name("last.ckpt").is_file()
    return path.name in _KNOWN or is_of_lightning


def _unpack(data: bytes, into: Path) -> None:
    for mark, opener in _OPENERS.items():
        if data.startswith(mark):
            data = opener(io.BytesIO(data)).read(_BYTES)
            into.mkdir()
            (into / "model.pth").write_bytes(data)
            break
    if data[257:262] == b"ustar":
        into.mkdir(exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = tar.getmembers()
            if len(members) <= _MEMBERS and sum(m.size for m in members) <= _BYTES:
                tar.extractall(into, filter="data")
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            rows = archive.infolist()
            # One that torch opens is not unpacked.
            if any(row.filename.casefold().endswith("/data.pkl") for row in rows):
                return
            if len(rows) <= _MEMBERS and sum(row.file_size for row in rows) <= _BYTES:
                into.mkdir(exist_ok=True)
                archive.extractall(into)
