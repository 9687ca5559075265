"""Files that torch would read as other tensors than their storages hold: refused, one and all.

Each trick is assembled by hand around one 4 x 4 tensor of ones. Where torch accepts the file, the
test first shows that torch really ends up with other values.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from inspector.findings import Severity
from tests.support.checkpoints import write_torch_zip
from tests.unit.inspector.checkpoint.conftest import Read, ids

ONES = struct.pack("<16f", *[1.0] * 16)
SIZE, STRIDE, PLAIN = b"K\x04K\x04\x86", b"K\x04K\x01\x86", b"ccollections\nOrderedDict\n)R"
SEVEN = b"G" + struct.pack(">d", 7.0)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage(kind: str = "FloatStorage", count: int = 16, key: str = "0") -> bytes:
    """Opcodes that push a storage."""
    head = b"(" + text("storage") + f"ctorch\n{kind}\n".encode()
    return head + text(key) + text("cpu") + b"K" + bytes([count]) + b"tQ"


def tensor(
    held: bytes = b"", size: bytes = SIZE, start: bytes = b"K\x00", metadata: bytes = b""
) -> bytes:
    """Opcodes that push a tensor on the storage ``held``."""
    arguments = (held or storage()) + start + size + STRIDE + b"\x89" + PLAIN + metadata
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def parameter(state: bytes) -> bytes:
    """Opcodes that push a parameter with attributes."""
    call = b"ctorch._utils\n_rebuild_parameter_with_state\n("
    return call + tensor() + b"\x88" + PLAIN + state + b"tR"


def checkpoint(path: Path, ctx: bytes, more: bytes = b"") -> Path:
    """A file whose state_dict is one entry ``ctx``, and ``more`` opcodes in front of it."""
    entry = b"}" + text("state_dict") + b"}" + text("ctx") + ctx + b"ss"
    records = {
        "data.pkl": b"\x80\x02" + more + entry + b".",
        "byteorder": b"little",
        "data/0": ONES,
        "data/1": bytes(64),
        "version": b"3\n",
    }
    return write_torch_zip(path, records)


def test_the_plain_file_is_fine(tmp_path: Path, read: Read) -> None:
    path = checkpoint(tmp_path / "x.pth", tensor())
    assert torch.equal(torch.load(path)["state_dict"]["ctx"], torch.ones(4, 4))
    reading = read(path)
    assert reading.findings == ()
    assert reading.canonical


OTHER = tensor(storage(key="1"))
TRICKS = {
    "an element is set": (tensor() + b"K\x00" + SEVEN + b"s", b""),
    "an alias on the same storage is set": (tensor(), tensor() + b"K\x00" + SEVEN + b"s0"),
    "a state replaces the storage": (
        tensor() + b"(" + storage(key="1") + b"K\x00" + SIZE + STRIDE + b"tb",
        b"",
    ),
    "lazy negation": (tensor(metadata=b"}" + text("neg") + b"\x88s"), b""),
    "an attribute replaces the data": (parameter(b"}" + text("data") + OTHER + b"s"), b""),
}


@pytest.mark.parametrize("trick", sorted(TRICKS))
def test_tricks_that_work_on_torch(trick: str, tmp_path: Path, read: Read) -> None:
    ctx, more = TRICKS[trick]
    path = checkpoint(tmp_path / "x.pth", ctx, more)
    loaded = torch.load(path, weights_only=False)["state_dict"]["ctx"]
    assert not torch.equal(loaded.detach(), torch.ones(4, 4))
    reading = read(path)
    assert reading.canonical is None
    assert ids(reading)[0] in ("pickle-malformed", "unsupported-tensor")


@pytest.mark.parametrize(
    ("ctx", "more", "finding"),
    [
        (tensor(), tensor(storage("HalfStorage", 32)) + b"0", "tensor-malformed"),
        (tensor(), storage("FloatStorage", 8) + b"0", "tensor-malformed"),
        (tensor(size=b"]K\x04aK\x04a"), b"", "tensor-malformed"),
        (tensor(start=b"\x89"), b"", "tensor-malformed"),
        (tensor(start=b"I00010\n"), b"", "pickle-malformed"),
        (tensor(metadata=b"NN"), b"", "unsupported-tensor"),
        (tensor(b"N"), b"", "tensor-malformed"),
        (tensor(storage(key="9")), b"", "storage-out-of-range"),
        (tensor(storage("QInt8Storage", 64)), b"", "unsupported-tensor"),
        (tensor(b"X\x01\x00\x00\x000Q"), b"", "tensor-malformed"),
        (b"ctorch._utils\n_rebuild_qtensor\n)R", b"", "unsupported-tensor"),
    ],
)
def test_descriptions_that_are_refused(
    ctx: bytes, more: bytes, finding: str, tmp_path: Path, read: Read
) -> None:
    reading = read(checkpoint(tmp_path / "x.pth", ctx, more))
    assert ids(reading) == [finding]


def test_a_mapping_that_is_made_from_arguments(tmp_path: Path, read: Read) -> None:
    """defaultdict(None, {...}) holds what its second argument holds."""
    made = b"ccollections\ndefaultdict\n(N}" + text("ctx") + OTHER + b"stR"
    pickle = b"\x80\x02}" + text("state_dict") + made + b"s."
    path = tmp_path / "x.pth"
    write_torch_zip(path, {"data.pkl": pickle, "data/0": ONES, "data/1": bytes(64)})
    assert ids(read(path)) == ["no-state-dict"]


def test_attributes_on_the_state_dict(tmp_path: Path, read: Read) -> None:
    """An OrderedDict may carry torch's module versions, and nothing that shadows a method."""
    for attribute, is_fine in (("_metadata", True), ("items", False)):
        ordered = PLAIN + text("ctx") + tensor() + b"s}" + text(attribute) + b"Nsb"
        pickle = b"\x80\x02}" + text("state_dict") + ordered + b"s."
        path = write_torch_zip(tmp_path / "x.pth", {"data.pkl": pickle, "data/0": ONES})
        assert (ids(read(path)) == []) is is_fine


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (b"ctorch.optim.lr_scheduler\nStepLR\n(NK\x03tR0", "torch.optim.lr_scheduler.StepLR"),
        (b"ctorch.nn.modules.linear\nLinear\n(K\x01K\x01tR0", "Linear"),
        (
            b"ctorch._tensor\n_rebuild_from_type_v2\n(cmy_package\nthing\nctorch\nTensor\n)}tR0",
            "my_package.thing",
        ),
    ],
)
def test_calls_in_disguise(more: bytes, named: str, tmp_path: Path, read: Read) -> None:
    """A constructor that would run, and a function that a harmless one calls."""
    reading = read(checkpoint(tmp_path / "x.pth", tensor(), more))
    assert reading.findings[0].severity is Severity.CRITICAL
    assert named in reading.findings[0].message
