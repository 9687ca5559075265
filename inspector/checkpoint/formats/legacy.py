"""The format of ``torch.save`` before 1.6: five pickles, then the storages one after another.

Magic number, protocol version, description of the writing machine, the object, the list of storage
keys; then for each key the number of values as a 64-bit integer and the values. Every size is
compared with the bytes that are there before anything is allocated: a file of 334 bytes can ask
torch's own reader for gigabytes. Layout from ``torch/serialization.py`` (``_legacy_save``).
"""

from __future__ import annotations

from dataclasses import dataclass

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.inert import Mapping
from inspector.checkpoint.pickles.rebuild import StorageId, declared_storages
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import ITEM_SIZES, Storage
from inspector.errors import MalformedArtifact, UnsupportedFormat

MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
_MAGIC_TEXT = f"L{MAGIC}L\n.".encode()
_PROTOCOL = 1001


@dataclass(frozen=True, slots=True)
class LegacyFile:
    """The walked object and where each storage lies."""

    value: object
    storages: dict[str, Storage]


def looks_like_legacy(head: bytes) -> bool:
    """Whether the first pickle is torch's magic number, whatever its pickle protocol."""
    is_binary = head[:1] == b"\x80" and _MAGIC_BYTES in head[:32]
    return is_binary or head.startswith(_MAGIC_TEXT)


def open_legacy(source: Source, ledger: Ledger, limits: Limits) -> LegacyFile:
    """Walk all five pickles and find the storages.

    Raises:
        MalformedArtifact: the parts do not fit together, or bytes follow the last storage.
        UnsupportedFormat: big-endian values.
    """
    data = source.read(0, min(source.size, limits.pickle_bytes))
    position, found = 0, []
    for _ in range(5):
        found.append(walk(data, ledger, limits, position))
        position = found[-1].end
    magic, protocol, machine, thing, keys = (walked.value for walked in found)
    if magic != MAGIC or protocol != _PROTOCOL:
        raise MalformedArtifact("legacy-malformed", "not the magic number or protocol of torch")
    if isinstance(machine, Mapping) and ("little_endian", False) in machine.pairs:
        raise UnsupportedFormat("unsupported-format", "values are not little-endian")
    declared = declared_storages(found[3].persistents)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise MalformedArtifact("legacy-malformed", "the list of storages is malformed")
    storages = _storages(source, position, [str(key) for key in keys], declared)
    return LegacyFile(thing, storages)


def _storages(
    source: Source, position: int, keys: list[str], declared: dict[str, StorageId]
) -> dict[str, Storage]:
    if sorted(keys) != sorted(declared):
        raise MalformedArtifact("legacy-malformed", "other storages are listed than are used")
    storages: dict[str, Storage] = {}
    for key in keys:
        count = declared[key].count
        if position + 8 > source.size:
            raise MalformedArtifact("legacy-malformed", "the file ends before its last storage")
        size = count * ITEM_SIZES[declared[key].dtype]
        if int.from_bytes(source.read(position, 8), "little") != count:
            raise MalformedArtifact("legacy-malformed", f"storage {key!a} has two sizes")
        if position + 8 + size > source.size:
            raise MalformedArtifact("legacy-malformed", "the file ends before its last storage")
        storages[key] = Storage(position + 8, size)
        position += 8 + size
    if position != source.size:
        raise MalformedArtifact("legacy-malformed", "bytes follow the last storage")
    return storages
