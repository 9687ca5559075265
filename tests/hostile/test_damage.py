"""Damaged files: cut off anywhere, or with any byte changed, they end in a finding of the table.

Not in an exception, not in ``reader-error`` (which says that we forgot something), and a cut file
never in tensors.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import Reading
from tests.hostile import assemble as a
from tests.hostile.boxes import (
    CTX_ROW,
    FLOATS,
    Part,
    legacy_coop,
    legacy_file,
    pax,
    safetensors_of,
    tar_member,
    tar_of,
    torch_zip,
    zip_of,
)

_MODEL = "run/model.pth.tar-50"
_TAR = tar_of(pax(("mtime", "1.5")), tar_member(_MODEL, torch_zip()))
WHOLE: dict[str, Callable[[], bytes]] = {
    "torch-zip": torch_zip,
    "torch-zip-4": lambda: torch_zip(a.coop(protocol=4)),
    "legacy": lambda: legacy_file(legacy_coop()),
    "safetensors": lambda: safetensors_of({"ctx": CTX_ROW}, FLOATS),
    "tar": lambda: _TAR,
    "tar.gz": lambda: gzip.compress(_TAR, mtime=0),
    "zip": lambda: zip_of([Part(_MODEL, torch_zip(), deflate=True), Part("run/log.txt", b"x")]),
    "pickle-0": lambda: a.text_call("os", "system", a.CANARY) + b".",
}
_CUTS, _CHANGES = 150, 400


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Reading]:
    out = tmp_path / "out"
    out.mkdir()

    def run(data: bytes) -> Reading:
        path = tmp_path / "artifact"
        path.write_bytes(data)
        reading = read_here(path, out, ReaderOptions())
        assert {item.name for item in out.iterdir()} <= {"canonical.safetensors"}
        return reading

    return run


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_cut_off(kind: str, read: Callable[[bytes], Reading]) -> None:
    data = WHOLE[kind]()
    # The zeros at the end of a tar may be fewer: it is whole from its first block of zeros on.
    whole = len(_TAR) - 1024 + 512 if kind == "tar" else len(data)
    for length in sorted({*range(0, whole, -(-whole // _CUTS)), whole - 1}):
        reading = read(data[:length])
        ids = [finding.id for finding in reading.findings]
        assert reading.canonical is None, length
        assert ids, length
        assert "reader-error" not in ids, length


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_with_a_changed_byte(kind: str, read: Callable[[bytes], Reading]) -> None:
    source = random.Random(kind)
    data = WHOLE[kind]()
    for _ in range(_CHANGES):
        changed = bytearray(data)
        for _ in range(source.choice((1, 1, 1, 2, 5))):
            changed[source.randrange(len(changed))] = source.choice((0, 255, source.randrange(256)))
        reading = read(bytes(changed))
        ids = [finding.id for finding in reading.findings]
        assert "reader-error" not in ids, bytes(changed)
        assert ids or reading.canonical is not None


def test_the_whole_files_are_what_they_seem(read: Callable[[bytes], Reading]) -> None:
    """Guards the tests above."""
    for kind, content in WHOLE.items():
        reading = read(content())
        assert (reading.canonical is not None) is (kind != "pickle-0"), kind
