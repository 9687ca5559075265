"""Containers by hand, every field of them: zip, torch zip, legacy torch file, tar, safetensors.

What the standard library refuses to write is what is needed here. Knows no pickle opcode.
"""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.hostile.assemble import coop

Fields = Mapping[str, int]
FLOATS = struct.pack("<64f", *(0.01 * i for i in range(64)))
"""Values of storage 0 of :data:`tests.hostile.assemble.CTX`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a zip. ``local`` and ``central`` overwrite header fields with lies."""

    name: str | bytes
    data: bytes
    deflate: bool = False
    flags: int = 0
    local: Fields = field(default_factory=dict)
    central: Fields = field(default_factory=dict)
    local_name: bytes | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    before: bytes = b""
    after: bytes = b""
    comment: bytes = b""

    @property
    def raw_name(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode()


def zip_of(
    parts: Sequence[Part],
    *,
    prefix: bytes = b"",
    gap: bytes = b"",
    comment: bytes = b"",
    end: Fields | None = None,
    before_end: bytes = b"",
) -> bytes:
    """A zip of ``parts``; ``gap`` stands before the central directory."""
    out, rows = bytearray(prefix), []
    for part in parts:
        out += part.before
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        stored = packer.compress(part.data) + packer.flush() if part.deflate else part.data
        plain = {
            "flags": part.flags,
            "method": 8 if part.deflate else 0,
            "crc": zlib.crc32(part.data),
            "stored": len(stored),
            "size": len(part.data),
        }
        offset = len(out)
        out += _local(part, {**plain, **part.local}) + stored + part.after
        rows.append(_central(part, {**plain, "offset": offset, **part.central}))
    out += gap
    start, directory = len(out), b"".join(rows)
    values = {
        "disk": 0, "first": 0, "here": len(parts), "count": len(parts),
        "size": len(directory), "start": start, "comment": len(comment), **(end or {}),
    }  # fmt: skip
    return (
        bytes(
            out + directory + before_end + b"PK\x05\x06" + struct.pack("<4H2IH", *values.values())
        )
        + comment
    )


def _local(part: Part, has: Fields) -> bytes:
    name = part.raw_name if part.local_name is None else part.local_name
    head = struct.pack(
        "<4s5H3I2H", b"PK\x03\x04", 20, has["flags"], has["method"], 0, 0x21, has["crc"],
        has["stored"], has["size"], len(name), len(part.local_extra),
    )  # fmt: skip
    return head + name + part.local_extra


def _central(part: Part, has: Fields) -> bytes:
    head = struct.pack(
        "<4s6H3I5H2I", b"PK\x01\x02", 20 + 256 * has.get("system", 0), 20, has["flags"], has["method"], 0, 0x21, has["crc"],
        has["stored"], has["size"], len(part.raw_name), len(part.central_extra), len(part.comment),
        has.get("disk", 0), 0, has.get("attributes", 0), has["offset"],
    )  # fmt: skip
    return head + part.raw_name + part.central_extra + part.comment


def torch_parts(
    pickled: bytes | None = None, storages: Mapping[str, bytes] | None = None, root: str = "archive"
) -> list[Part]:
    """The members of a torch zip, ready to be spoilt."""
    data = {"0": FLOATS} if storages is None else storages
    return [
        Part(f"{root}/data.pkl", coop() if pickled is None else pickled),
        Part(f"{root}/byteorder", b"little"),
        *(Part(f"{root}/data/{key}", values) for key, values in data.items()),
        Part(f"{root}/version", b"3\n"),
    ]


def torch_zip(
    pickled: bytes | None = None, storages: Mapping[str, bytes] | None = None, root: str = "archive"
) -> bytes:
    return zip_of(torch_parts(pickled, storages, root))


def legacy_file(
    thing: bytes | None = None,
    *,
    storages: Sequence[tuple[str, int, bytes]] = (("0", 64, FLOATS),),
    magic: bytes | None = None,
    version: bytes | None = None,
    machine: bytes | None = None,
    keys: bytes | None = None,
    protocol: int = 2,
) -> bytes:
    """A file of torch before 1.6: five pickles, then (key, number of values, values)."""
    described = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [
        magic or pickle.dumps(0x1950A86A20F9469CFC6C, protocol),
        version or pickle.dumps(1001, protocol),
        machine or pickle.dumps(described, protocol),
        coop() if thing is None else thing,
        keys or pickle.dumps([key for key, _count, _values in storages], protocol),
    ]
    for _key, count, values in storages:
        parts.append(struct.pack("<q", count) + values)
    return b"".join(parts)


def legacy_coop(payload: bytes = b"") -> bytes:
    """The object of a legacy file: its persistent ids have a sixth part."""
    return coop(payload).replace(b"K\x40tQ", b"K\x40NtQ")


def tar_header(
    name: bytes,
    size: int = 0,
    kind: bytes = b"0",
    *,
    link: bytes = b"",
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
    raw_size: bytes | None = None,
    checksum: bytes | None = None,
) -> bytes:
    block = bytearray(512)
    block[:100] = name[:100].ljust(100, b"\0")
    block[100:124] = b"0000644\x000000000\x000000000\0"
    block[124:136] = raw_size if raw_size is not None else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157:257] = link[:100].ljust(100, b"\0")
    block[257:265] = magic
    block[345:500] = prefix[:155].ljust(155, b"\0")
    block[148:156] = checksum if checksum is not None else b"%06o\0 " % sum(block)
    return bytes(block)


def tar_member(name: str | bytes, content: bytes, kind: bytes = b"0", **fields: bytes) -> bytes:
    raw = name if isinstance(name, bytes) else name.encode()
    padding = b"\0" * (-len(content) % 512)
    return tar_header(raw, len(content), kind, **fields) + content + padding


def tar_of(*members: bytes, end: bytes = bytes(1024)) -> bytes:
    return b"".join(members) + end


def pax(*records: tuple[str, str], kind: bytes = b"x") -> bytes:
    """An extended header with these records."""
    lines = b"".join(pax_record(key.encode(), value.encode()) for key, value in records)
    return tar_member("PaxHeaders/x", lines, kind)


def pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


def safetensors_of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file; ``header`` is JSON, or the very bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def row(
    begin: int, end: int, shape: Sequence[object], dtype: str = "F32"
) -> dict[str, Sequence[object] | str]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


CTX_ROW = row(0, 256, [4, 16])
