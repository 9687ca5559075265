"""The format of torch before 1.6, whose own loader allocates what the file asks for."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from functools import partial

from tests.hostile import assemble as a
from tests.hostile.boxes import FLOATS, legacy_coop, legacy_file, tar_member, tar_of
from tests.hostile.entry import Entry, bad

_HEAD = len(legacy_file(legacy_coop())) - 8 - 256


_MAGIC = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


def _bomb(count: int) -> bytes:
    thing = a.checkpoint(("ctx", a.tensor("0", count, (count,), (1,))))
    return legacy_file(thing.replace(b"tQ", b"NtQ"), storages=[("0", count, b"")])


def _tar_and_pickle(thing: bytes) -> bytes:
    """A legacy file whose first block has the checksum of a V7 tar: torch tries the tar first."""
    begin = a.program(b"T" + struct.pack("<I", 500) + b"#" * 500 + b"0", b"\x8a\x0a"
                      + (0x1950A86A20F9469CFC6C).to_bytes(10, "little"))  # fmt: skip
    block = bytearray((begin + thing)[:512])
    block[124:136], block[148:156] = b"00000000000\0", b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + (begin + thing)[512:]


def _two_programs(checksum: bytes) -> bytes:
    """A legacy file of honest tensors, which torch opens as a tar whose first member calls.

    The header of the tar is a string that the first pickle drops, its members are the values of a
    tensor beside the state_dict.
    """
    members = tar_of(tar_member("storages", a.program(a.system())))
    thing = a.program(a.mapping(
        (a.text("state_dict"), a.mapping((a.text("ctx"), a.CTX))),
        (a.text("x"), a.tensor("1", len(members), (len(members),), (1,), kind="ByteStorage")),
    )).replace(b"tQ", b"NtQ")  # fmt: skip
    storages = [("0", 64, FLOATS), ("1", len(members), members)]

    def build(dropped: bytes) -> bytes:
        string = b"T" + struct.pack("<I", len(dropped)) + dropped + b"0"
        return legacy_file(thing, storages=storages, magic=a.program(_MAGIC, string))

    begin = len(build(bytes(600))) - len(members)
    size = 600 + -begin % 512
    block = bytearray(build(bytes(size))[:512])
    content = len(build(bytes(size))) - len(members) - 512
    block[124:136] = b"%011o\0" % content
    block[156:157], block[148:156] = b"0", b" " * 8
    block[148:156] = (checksum % sum(block)).ljust(8, b"\0")
    whole = build(bytes(block[19:]).ljust(size, b"\0"))
    assert whole[:512] == bytes(block)
    return whole


def _cut(length: int) -> bytes:
    return legacy_file(legacy_coop())[:length]


def _file(**fields: object) -> Callable[[], bytes]:
    return lambda: legacy_file(legacy_coop(), **fields)  # type: ignore[arg-type]


ENTRIES: tuple[Entry, ...] = (
    bad("legacy-bomb-4g", "334 bytes that ask for four gigabytes", "pytorch-pt-oom-poc",
        lambda: _bomb(2**30), "legacy-malformed"),
    bad("legacy-bomb-exa", "a storage of 2^60 values", "pytorch-pt-oom-poc",
        lambda: _bomb(2**60), "legacy-malformed"),
    bad("legacy-bomb-negative", "a storage of -1 values", "original", lambda: _bomb(-1),
        "tensor-malformed"),
    bad("legacy-two-sizes", "a storage with two numbers of values", "ivanphuc-mmap-poc",
        _file(storages=[("0", 63, FLOATS)]), "legacy-malformed"),
    bad("legacy-more", "bytes behind the last storage", "polyglot",
        lambda: legacy_file(legacy_coop()) + b"x", "legacy-malformed"),
    bad("legacy-twice", "a key that is listed twice", "original",
        _file(keys=pickle.dumps(["0", "0"], 2)), "legacy-malformed"),
    bad("legacy-unlisted", "a storage that is not listed", "original",
        _file(keys=pickle.dumps([], 2)), "legacy-malformed"),
    bad("legacy-other-key", "another storage is listed", "original",
        _file(keys=pickle.dumps(["1"], 2)), "legacy-malformed"),
    bad("legacy-keys-no-list", "the list of storages is a dictionary", "original",
        _file(keys=pickle.dumps({"0": 1}, 2)), "legacy-malformed"),
    bad("legacy-version", "another protocol version", "original",
        _file(version=pickle.dumps(1002, 2)), "legacy-malformed"),
    bad("legacy-big-endian", "a machine that says it was big-endian", "original",
        _file(machine=pickle.dumps({"little_endian": False}, 2)), "unsupported-format"),
    bad("legacy-view", "a storage that is a view on another, as torch 0.3 wrote", "original",
        lambda: legacy_file(a.coop().replace(b"K\x40tQ", b"K\x40(" + a.text("1") + b"K\x00K\x40ttQ")),
        "unsupported-tensor"),
    bad("legacy-magic-only", "the magic number and nothing else", "original",
        lambda: pickle.dumps(0x1950A86A20F9469CFC6C, 2), "pickle-malformed"),
    bad("legacy-tar", "a V7 tar that is a pickle at once", "original",
        lambda: _tar_and_pickle(a.coop()), "polyglot"),
    bad("legacy-tar-runs", "honest tensors in a file that torch opens as a tar, and runs", "original",
        lambda: _two_programs(b"%06o"), "polyglot"),
    bad("legacy-tar-lenient", "the same with a checksum that only lenient readers take", "original",
        lambda: _two_programs(b"0o%o"), "polyglot"),
    *(
        bad(f"legacy-cut-{name}", f"a legacy file that ends {where}", "original",
            partial(_cut, cut), finding)
        for name, where, cut, finding in (
            ("1", "inside the first pickle", 10, "pickle-malformed"),
            ("2", "between two pickles", 15, "pickle-malformed"),
            ("3", "inside the object", _HEAD - 60, "pickle-malformed"),
            ("4", "before the first storage", _HEAD, "legacy-malformed"),
            ("5", "inside the size of a storage", _HEAD + 4, "legacy-malformed"),
            ("6", "inside the values", _HEAD + 100, "legacy-malformed"),
        )
    ),
)  # fmt: skip
