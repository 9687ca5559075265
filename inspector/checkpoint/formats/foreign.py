"""Formats that we know and do not read, by their first bytes or the names inside a zip.

Only so that a finding can say what the file is; nothing here is parsed. Marks as the formats' own
specifications give them.
"""

from __future__ import annotations

from collections.abc import Iterable

from inspector.errors import UnsupportedFormat

_MODELS = (
    (b"\x93NUMPY", "a numpy array"),
    (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras writes it"),
    (b"GGUF", "GGUF"),
    (b"ggml", "GGML"),
    (b"TFL3", "TensorFlow Lite"),
    (b"\x08\x01\x12", "ONNX or another protocol buffer"),
)
_PACKED = (
    (b"\x37\x7a\xbc\xaf\x27\x1c", "a 7z archive", "7z x FILE"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data", "zstd -d FILE"),
    (b"\x04\x22\x4d\x18", "lz4-compressed data", "lz4 -d FILE"),
    (b"Rar!\x1a\x07", "a RAR archive", "unrar x FILE"),
)
_OTHERS = (
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ", "a program (PE)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"#!", "a script"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file"),
    (b"<!doctype html", "a web page"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
)
_INSIDE_ZIP = (
    (("serialized_exported_program.json", "archive_format"), "a program of torch.export"),
    ((".data/extern_modules",), "a program of torch.package"),
    (("saved_model.pb", "keras_metadata.pb"), "a TensorFlow SavedModel"),
    (("model.weights.h5",), "a Keras archive"),
)


def refusal(head: bytes) -> UnsupportedFormat:
    """Why a file that begins with ``head`` is not read."""
    for mark, name, command in _PACKED:
        if head.startswith(mark):
            return UnsupportedFormat(
                "unsupported-format",
                f"{name}, which we do not read",
                remedy=f"Unpack it ({command}) and give what is inside.",
            )
    for mark, name in _MODELS:
        if head.startswith(mark):
            return UnsupportedFormat("unsupported-format", f"{name}, which we do not read")
    for mark, name in _OTHERS:
        if head.startswith(mark):
            return UnsupportedFormat("not-a-checkpoint", f"{name}, not a checkpoint")
    return UnsupportedFormat("not-a-checkpoint", f"begins with {head[:8].hex(' ')}")


def name_of_zip(members: Iterable[str]) -> str | None:
    """What a zip with these member names is; None when it may be an archive of a folder."""
    every = [f"/{name}" for name in members]
    for ends, name in _INSIDE_ZIP:
        if any(member.endswith(f"/{end}") for member in every for end in ends):
            return name
    is_arrays = bool(every) and all(member.endswith(".npy") for member in every)
    return "a numpy archive (npz)" if is_arrays else None
