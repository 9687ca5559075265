"""The zip that ``torch.save`` has written since 1.6: one pickle and one record per storage.

``<root>/data.pkl`` describes the objects, ``<root>/data/<key>`` holds raw little-endian values,
``<root>/byteorder`` and ``<root>/version`` say how. All records are STORED. Knows the container
only; what the pickle means is :mod:`inspector.checkpoint.pickles.rebuild`'s business. Layout from
``caffe2/serialize/inline_container.cc`` and ``torch/serialization.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inspector.checkpoint.formats import zipfiles
from inspector.checkpoint.formats.zipfiles import STORED, Member
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.rebuild import StorageId
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import Storage
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

_KNOWN = frozenset(
    {"data.pkl", "byteorder", "version", ".format_version", ".storage_alignment"}
    | {".data/serialization_id"}
)
_SMALL_RECORD_BYTES = 4096
CONVERSION = "m = torch.jit.load(f, 'cpu'); torch.save(m.state_dict(), 'state.pth')"
"""What makes a checkpoint of a program, to be run by whoever trusts it."""


@dataclass(frozen=True, slots=True)
class TorchZip:
    """An opened torch zip: its pickle, and where each storage lies."""

    pickle: bytes
    storages: dict[str, Storage]
    members: tuple[Member, ...]


def looks_like_torch(members: tuple[Member, ...]) -> bool:
    """Whether a zip is torch's own rather than an archive of a folder."""
    return any(m.name.count("/") == 1 and m.name.endswith("/data.pkl") for m in members)


def is_program(members: tuple[Member, ...]) -> bool:
    """Whether a torch zip is a TorchScript archive rather than one of ``torch.save``."""
    inner = [member.name.partition("/")[2] for member in members]
    return "constants.pkl" in inner or any(name.startswith("code/") for name in inner)


def open_torch_zip(source: Source, members: tuple[Member, ...], limits: Limits) -> TorchZip:
    """Check every record of a torch zip, checksums included.

    Raises:
        MalformedArtifact: several roots, compressed or unknown records, a wrong checksum.
        UnsupportedFormat: TorchScript, or values in big-endian order.
    """
    root = members[0].name.split("/", 1)[0]
    records: dict[str, Member] = {}
    for member in members:
        if not member.name.startswith(f"{root}/"):
            raise MalformedArtifact("torch-malformed", f"{member.name} lies outside of {root}/")
        records[member.name[len(root) + 1 :]] = member
    if is_program(members):
        raise UnsupportedFormat(
            "unsupported-format",
            f"a TorchScript archive, which is a program; for a checkpoint the vendor runs: {CONVERSION}",
        )
    for name, member in records.items():
        if name not in _KNOWN and not name.startswith("data/"):
            raise MalformedArtifact("torch-malformed", f"unexpected record {member.name}")
        if member.method != STORED:
            raise MalformedArtifact("torch-malformed", f"{member.name} is compressed")
    pickle = b""
    for name, member in records.items():
        limit = limits.artifact_bytes if name.startswith("data/") else _SMALL_RECORD_BYTES
        if name == "data.pkl":
            pickle = _whole(source, member, limits.pickle_bytes)
        elif name == "byteorder":
            if _whole(source, member, limit) != b"little":
                raise UnsupportedFormat("unsupported-format", "values are not little-endian")
        else:
            for _piece in zipfiles.content(source, member, limit):
                pass
    if "data.pkl" not in records:
        raise MalformedArtifact("torch-malformed", f"{root}/data.pkl is missing")
    storages = {
        name.removeprefix("data/"): Storage(member.data_offset, member.size)
        for name, member in records.items()
        if name.startswith("data/")
    }
    return TorchZip(pickle, storages, members)


def check_storages(declared: Mapping[str, StorageId], storages: Mapping[str, Storage]) -> None:
    """Compare every storage of the pickle with its record, also those of optimisers.

    We read the tensors of the state_dict only, but torch maps all of them: with ``mmap=True`` some
    versions believe the pickle's size, whatever the record's.

    Raises:
        MalformedArtifact: a record is missing or has another size.
    """
    for key, stored in declared.items():
        record = storages.get(key)
        if record is None:
            raise MalformedArtifact("storage-out-of-range", f"there is no storage {key!a}")
        if stored.item_size is not None and record.size != stored.count * stored.item_size:
            raise MalformedArtifact(
                "storage-out-of-range",
                f"storage {key!a} has {record.size} bytes, declared are {stored.count} values",
            )


def _whole(source: Source, member: Member, limit: int) -> bytes:
    if member.size > limit:
        raise LimitExceeded(f"size of {member.name}", limit, member.size)
    return b"".join(zipfiles.content(source, member, limit))
