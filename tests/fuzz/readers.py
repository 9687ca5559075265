"""Target ``reader``: a whole file, whatever it is, read as the reading child reads it.

Promise: every file ends in a reading without ``reader-error``, whose findings are known, short and
showable and whose JSON is valid; canonical tensors are written only when nothing forbids them, and
the ``safetensors`` library reads them as the reading describes them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from random import Random

import safetensors

from inspector.checkpoint.formats.legacy import MAGIC
from inspector.checkpoint.limits import Limits, ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import CANONICAL_NAME, Reading
from inspector.checkpoint.reasons import REASONS
from inspector.errors import ArtifactError
from tests.fuzz import headers, programs, tars, ziplayout
from tests.fuzz.chance import bytewise
from tests.fuzz.target import Disagreement, Target, check_refusal

OPTIONS = ReaderOptions(
    Limits(
        artifact_bytes=1 << 20, archive_members=12, pickle_bytes=4000, opcodes=3000,
        memo_entries=60, mark_depth=30, stack_items=300, string_bytes=1000, integer_bytes=40,
        globals=12, header_bytes=2000, tensors=12, output_bytes=1 << 20,
    )
)  # fmt: skip
_MEMORY = Path("/dev/shm")
# A disk would take most of the time.
_folder = tempfile.TemporaryDirectory(prefix="fuzz", dir=_MEMORY if _MEMORY.is_dir() else None)
_WIDTH, _ROWS = 4, 2


def check(data: bytes) -> bool:
    """Read ``data`` as a file; True when canonical tensors come out."""
    path, out = Path(_folder.name) / "model", Path(_folder.name)
    written = out / CANONICAL_NAME
    path.write_bytes(data)
    written.unlink(missing_ok=True)
    reading = read_here(path, out, OPTIONS)
    for finding in reading.findings:
        if finding.id == "reader-error":
            raise Disagreement(finding.message)
        check_refusal(ArtifactError(finding.id, finding.message))
    json.dumps(reading.to_json(), allow_nan=False)
    is_stopped = any(REASONS[finding.id].stops for finding in reading.findings)
    if written.exists() != (reading.canonical_sha256 is not None):
        raise Disagreement("the reading and the folder disagree on the canonical tensors")
    if reading.canonical_sha256 is None:
        return False
    if is_stopped:
        raise Disagreement("canonical tensors in spite of a finding that forbids them")
    _check_canonical(canonical(), reading)
    return True


def canonical() -> bytes:
    """The canonical tensors of the last file that was accepted."""
    return (Path(_folder.name) / CANONICAL_NAME).read_bytes()


def _check_canonical(data: bytes, reading: Reading) -> None:
    if hashlib.sha256(data).hexdigest() != reading.canonical_sha256:
        raise Disagreement("the canonical tensors have another checksum")
    theirs = {name: (row["dtype"], row["shape"]) for name, row in safetensors.deserialize(data)}
    ours = {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in reading.tensors}
    if ours != theirs:
        raise Disagreement(f"{ours!a} or {theirs!a}"[:600])


def _programs(data: bytes) -> list[bytes]:
    """The pickles of a legacy file, and its storages as the last piece."""
    pieces = []
    for _ in range(5):
        opcodes = programs.split(data)
        ends = [index for index, piece in enumerate(opcodes) if piece == b"."]
        if not ends:
            break
        length = sum(map(len, opcodes[: ends[0] + 1]))
        pieces.append(data[:length])
        data = data[length:]
    return [*pieces, data]


def _mutate_zip(data: bytes, rng: Random, longest: int) -> bytes:
    layout = ziplayout.parse(data)
    if layout is None or not layout.parts or rng.random() < 0.3:
        return ziplayout.mutate(data, rng, longest)
    parts = list(layout.parts)
    here = rng.randrange(len(parts))
    content = ziplayout.content_of(parts[here])
    fresh = _mutate_any(content, rng, longest) if content else rng.randbytes(8)
    plain = ziplayout.plain(parts[here].name, fresh, deflate=parts[here].method == 8)
    parts[here] = replace(parts[here], stored=plain.stored, crc=plain.crc, size=plain.size)
    return ziplayout.build(replace(layout, parts=tuple(parts)))[0][:longest]


def _mutate_any(data: bytes, rng: Random, longest: int) -> bytes:
    """A mutation that suits what ``data`` begins like."""
    if data[:2] == b"PK":
        return _mutate_zip(data, rng, longest)
    if data[:2] == b"\x1f\x8b":
        try:
            plain = zlib.decompressobj(31).decompress(data, 1 << 16)
        except zlib.error:
            return bytewise(data, rng, longest)
        return gzip.compress(_mutate_any(plain, rng, 1 << 14), 1, mtime=0)[:longest]
    if data[257:262] == b"ustar":
        return _mutate_tar(data, rng, longest)
    if data[8:9] == b"{":
        return headers.mutate(data, rng, longest)
    if data[:1] in (b"\x80", b"L") and rng.random() < 0.8:
        pieces = _programs(data)
        here = rng.randrange(len(pieces))
        pieces[here] = programs.mutate(pieces[here], rng, longest)
        return b"".join(pieces)[:longest]
    return bytewise(data, rng, longest)


def _mutate_tar(data: bytes, rng: Random, longest: int) -> bytes:
    if rng.random() < 0.5:
        return tars.mutate(data, rng, longest)
    return tars.change_content(data, lambda content: _mutate_any(content, rng, longest), rng)[
        :longest
    ]


def mutate(data: bytes, rng: Random, longest: int) -> bytes:
    """Another file of the same kind, changed in its container or in what that holds."""
    return _mutate_any(data, rng, longest)


def _tar(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        end = archive.offset
    # What fills the last record of 20 blocks only makes inputs long.
    return file.getvalue()[: end + 1024]


def _state(width: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a small CoOp prompt: context, prefix and suffix."""
    return {
        "ctx": (2, width),
        "token_prefix": (_ROWS, 1, width),
        "token_suffix": (_ROWS, 74, width),
    }


def _pickle(keys: list[str], shapes: dict[str, tuple[int, ...]], end: bytes = b"") -> bytes:
    entries = b""
    for key, (name, shape) in zip(keys, shapes.items(), strict=True):
        count, strides = 1, []
        for extent in reversed(shape):
            strides.append(count)
            count *= extent
        strides.reverse()
        entries += programs.text(name) + programs.tensor(key, count, shape, tuple(strides), end)
    ordered = programs.named("collections", "OrderedDict") + b")R("
    program = b"\x80\x02}(" + programs.text("state_dict") + ordered + entries + b"u"
    return program + programs.text("epoch") + b"K\x02u."


def seeds() -> list[bytes]:
    """One small CoOp prompt as torch zip, legacy file and safetensors, alone and in archives."""
    shapes = _state(_WIDTH)
    keys = [str(index) for index in range(len(shapes))]
    sizes = [4 * _product(shape) for shape in shapes.values()]
    program = _pickle(keys, shapes)
    parts = [ziplayout.plain(b"archive/data.pkl", program)]
    parts.append(ziplayout.plain(b"archive/version", b"3\n"))
    parts += [
        ziplayout.plain(f"archive/data/{key}".encode(), bytes(size))
        for key, size in zip(keys, sizes, strict=True)
    ]
    torch_zip = ziplayout.build(ziplayout.Layout(tuple(parts)))[0]
    magic = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
    machine = b"\x80\x02}" + programs.text("little_endian") + b"\x88s."
    listed = b"\x80\x02](" + b"".join(map(programs.text, keys)) + b"e."
    values = b"".join((size // 4).to_bytes(8, "little") + bytes(size) for size in sizes)
    # In this format the id of a storage ends with what it is a view of: nothing.
    described = _pickle(keys, shapes, b"N") + listed
    legacy = magic + b"\x80\x02M\xe9\x03." + machine + described + values
    rows, position = {}, 0
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        offsets = [position, position + size]
        rows[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        position += size
    header = headers.file_of(json.dumps(rows).encode(), bytes(position))
    files = [torch_zip, legacy, header, program]
    name = "run/model.pth.tar-2"
    archives = [_tar({name: file}) for file in files[:3]]
    archives += [gzip.compress(archive, 1, mtime=0) for archive in archives[:1]]
    outer = (ziplayout.plain(name.encode(), torch_zip, deflate=True),)
    archives.append(ziplayout.build(ziplayout.Layout(outer))[0])
    return [*files, *archives]


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


TARGET = Target("reader", seeds, check, mutate, longest=8192)
