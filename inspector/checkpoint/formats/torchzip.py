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
from inspector.errors import MalformedArtifact, UnsupportedFormat

_PICKLE = "data.pkl"
_KNOWN = frozenset(
    {_PICKLE, "byteorder", "version", ".format_version", ".storage_alignment"}
    | {".data/serialization_id"}
)
_SMALL_RECORD_BYTES = 4096
CONVERSION = "m = torch.jit.load(f, 'cpu'); torch.save(m.state_dict(), 'state.pth')"
"""What makes a checkpoint of a program, to be run by whoever trusts it."""


@dataclass(frozen=True, slots=True)
class TorchZip:
    """An opened torch zip: its pickle, and where each storage lies.

    ``has_checksums``: torch writes none of them after ``set_crc32_options(False)``, and reads none.
    """

    pickle: bytes
    storages: dict[str, Storage]
    members: tuple[Member, ...]
    has_checksums: bool = True


def looks_like_torch(members: tuple[Member, ...]) -> bool:
    """Whether torch would find its own pickle in a zip, which then is no archive of a folder.

    Its look-up (miniz) does not tell capital letters from small ones.
    """
    return any(_is_pickle(member.name) for member in members)


def is_program(members: tuple[Member, ...]) -> bool:
    """Whether a torch zip is a TorchScript archive rather than one of ``torch.save``."""
    inner = [member.name.partition("/")[2] for member in members]
    return "constants.pkl" in inner or any(name.startswith("code/") for name in inner)


def is_left_to_torchscript(members: tuple[Member, ...]) -> bool:
    """Whether torch hands a zip to TorchScript's own reader, which runs no Python.

    The name of this one record is compared as it stands.
    """
    return any(member.name.partition("/")[2] == "constants.pkl" for member in members)


def open_torch_zip(source: Source, members: tuple[Member, ...], limits: Limits) -> TorchZip:
    """Check every record of a torch zip, checksums included where it has any.

    Raises:
        MalformedArtifact: several roots, compressed or unknown records, a wrong checksum.
        UnsupportedFormat: TorchScript, or values in big-endian order.
    """
    records = _records(members)
    if is_program(members):
        raise UnsupportedFormat(
            "unsupported-format",
            "a TorchScript archive, which is a program",
            remedy=f"Ask the vendor for its tensors alone: {CONVERSION}",
        )
    has_checksums = any(member.crc for member in members)
    pickle = b""
    for name, member in records.items():
        _check_record(name, member)
        limit = limits.artifact_bytes if name.startswith("data/") else _SMALL_RECORD_BYTES
        if name == _PICKLE:
            limit = limits.pickle_bytes
        pieces = zipfiles.content(source, member, limit, is_checked=has_checksums)
        if name == _PICKLE:
            pickle = b"".join(pieces)
        elif name == "byteorder":
            if b"".join(pieces) != b"little":
                raise UnsupportedFormat("unsupported-format", "values are not little-endian")
        else:
            for _piece in pieces:
                pass
    storages = {
        name.removeprefix("data/"): Storage(member.data_offset, member.size)
        for name, member in records.items()
        if name.startswith("data/")
    }
    return TorchZip(pickle, storages, members, has_checksums)


def _is_pickle(name: str) -> bool:
    return name.count("/") == 1 and name.casefold().endswith(f"/{_PICKLE}")


def _records(members: tuple[Member, ...]) -> dict[str, Member]:
    """The records by their names below the root, which is that of the pickle.

    Raises:
        MalformedArtifact: a record outside of the root, or a pickle of another spelling.
    """
    root, _, spelling = next(m.name for m in members if _is_pickle(m.name)).partition("/")
    if spelling != _PICKLE:
        raise MalformedArtifact(
            "torch-malformed", f"the pickle is called {spelling}; torch reads it all the same"
        )
    records: dict[str, Member] = {}
    for member in members:
        if not member.name.startswith(f"{root}/"):
            raise MalformedArtifact("torch-malformed", f"{member.name} lies outside of {root}/")
        records[member.name[len(root) + 1 :]] = member
    return records


def _check_record(name: str, member: Member) -> None:
    if name not in _KNOWN and not name.startswith("data/"):
        raise MalformedArtifact("torch-malformed", f"unexpected record {member.name}")
    if member.method != STORED:
        raise MalformedArtifact("torch-malformed", f"{member.name} is compressed")


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
