"""Files that are no checkpoint, under the name of one: each gets a reason, none an alarm."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from tests.hostile import assemble as a
from tests.hostile.boxes import torch_zip
from tests.hostile.entry import Entry, bad, code


def _npy(array: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), **options)
    return buffer.getvalue()


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("import os",)


def _archive(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


_NO, _KNOWN = "not-a-checkpoint", "unsupported-format"
_FILES: tuple[tuple[str, str, Callable[[], bytes], str], ...] = (
    ("empty", "no bytes", lambda: b"", "empty-file"),
    ("zero-byte", "one zero byte", lambda: b"\0", _NO),
    ("zeros", "a kilobyte of zeros, as a failed upload leaves", lambda: bytes(1024), _NO),
    ("one-opcode", "the first byte of a pickle", lambda: b"\x80", "pickle-malformed"),
    ("text", "a text", lambda: b"The learned context vectors are attached.\n", _NO),
    ("text-c", "a text that begins like GLOBAL", lambda: b"class Foo:\n    pass\n", _NO),
    ("text-i", "a source that begins like INST", lambda: b"import os\nimport sys\n", _NO),
    ("text-n", "a text that begins like a whole pickle", lambda: b"N.B. the file is late\n", _NO),
    ("csv", "a table", lambda: b"class,accuracy\ncat,0.9\n", _NO),
    ("json", "a JSON document", lambda: json.dumps({"ctx": [1.0] * 100}).encode(), _NO),
    ("json-deep", "a JSON nested 200,000 deep", lambda: b'{"a":' + b"[" * 200_000, _NO),
    ("json-number", "a JSON with a number of 100,000 digits",
     lambda: b'{"classnames":' + b"9" * 100_000 + b"}", _NO),
    ("json-long", "a JSON of three megabytes",
     lambda: b'{"classnames":["' + b"a" * 3_000_000 + b'"]}', "limit-exceeded"),
    ("json-tail", "a JSON of prompts and bytes behind it",
     lambda: b'{"classnames":["a"],"templates":["a {}"]}\0', _NO),
    ("yaml", "a configuration", lambda: b"TRAINER:\n  NAME: CoOp\n", _NO),
    ("html", "a login page in place of the file", lambda: b"<!DOCTYPE html><html></html>", _NO),
    ("lfs", "a Git LFS pointer",
     lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", _NO),
    ("png", "a picture", lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), _NO),
    ("jpeg", "a photograph", lambda: b"\xff\xd8\xff\xe0" + bytes(64), _NO),
    ("pdf", "a document", lambda: b"%PDF-1.7\n", _NO),
    ("elf", "a program", lambda: b"\x7fELF\x02\x01\x01" + bytes(64), _NO),
    ("pe", "a program for Windows", lambda: b"MZ\x90\x00" + bytes(64), _NO),
    ("script", "a script", lambda: b"#!/bin/sh\nrm -rf /\n", _NO),
    ("npy", "a numpy array", lambda: _npy(np.zeros(4)), _KNOWN),
    ("npz", "a numpy archive", _npz, _KNOWN),
    ("onnx", "an ONNX model", lambda: b"\x08\x01\x12\x07pytorch" + bytes(64), _KNOWN),
    ("hdf5", "a Keras model", lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), _KNOWN),
    ("gguf", "a GGUF model", lambda: b"GGUF\x03\0\0\0" + bytes(64), _KNOWN),
    ("tflite", "a TensorFlow Lite model", lambda: b"TFL3" + bytes(64), _KNOWN),
    ("saved-model", "a TensorFlow SavedModel",
     lambda: _archive({"m/saved_model.pb": b"x", "m/variables/variables.index": b"y"}), _KNOWN),
    ("keras", "a Keras archive, with a Lambda layer that holds code",
     lambda: _archive({"config.json": b"{}", "model.weights.h5": b"x"}), _KNOWN),
    ("7z", "a 7z archive", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(64), _KNOWN),
    ("zstd", "zstd-compressed data", lambda: b"\x28\xb5\x2f\xfd" + bytes(64), _KNOWN),
    ("gzip-text", "a compressed text", lambda: gzip.compress(b"hello" * 20), _NO),
    ("torchscript", "a TorchScript archive, which is a program",
     lambda: _archive({"m/data.pkl": a.coop(), "m/code/__torch__.py": b"x", "m/constants.pkl": b""}),
     _KNOWN),
    ("torch-export", "a program of torch.export",
     lambda: _archive({"m/archive_format": b"pt2", "m/data/sample_inputs/model.pt": torch_zip()}),
     _KNOWN),
    ("torch-package", "a torch.package: source that is imported on loading",
     lambda: _archive({"m/.data/extern_modules": b"", "m/model/model.pkl": a.program(b"N")}),
     _KNOWN),
    ("bare-pickle", "a bare pickle of numbers", lambda: a.program(a.value([1, 2, 3])), _KNOWN),
    ("empty-checkpoint", "a torch zip of an empty dictionary",
     lambda: torch_zip(a.program(b"}"), {}), "no-state-dict"),
    ("list-checkpoint", "a torch zip of a list", lambda: torch_zip(a.program(b"]"), {}),
     "no-state-dict"),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = (
    *(
        bad(f"foreign-{name}", what, "original", content, finding)
        for name, what, content, finding in _FILES
    ),
    code("foreign-npy-object", "a numpy array of objects: the pickle behind its header would run",
         "original", lambda: _npy(np.array([_Evil()], dtype=object), allow_pickle=True),
         "pickle-malformed"),
)  # fmt: skip
