"""Tensors of every layout come out as torch sees them; impossible ones do not come out at all."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.nonfinite import count_nonfinite
from inspector.checkpoint.reading import Reading
from inspector.checkpoint.tensors import Storage, View, check_view, runs
from inspector.errors import LimitExceeded, MalformedArtifact
from tests.support.checkpoints import (
    cocoop_state,
    coop_state,
    records_of,
    torch_bytes,
    write_torch_zip,
)
from tests.unit.inspector.checkpoint.conftest import Extract, Read, ids

DTYPES = [
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16, torch.float8_e5m2,
]  # fmt: skip


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Tensor]:
    """A few tensors, some of them strided views on one storage."""
    tensors: dict[str, Tensor] = {}
    for index in range(draw(st.integers(1, 3))):
        shape = draw(st.lists(st.integers(0, 5), max_size=4))
        dtype = draw(st.sampled_from(DTYPES))
        raw = torch.arange(int(torch.Size(shape).numel()) * 8).reshape([*shape, 8])
        base = (raw[..., 0] % 120).to(torch.float32).to(dtype)
        view = base
        is_permuted: bool = draw(st.booleans())
        if shape and is_permuted:
            view = view.permute(draw(st.permutations(list(range(len(shape))))))
        for axis in range(view.ndim):
            if draw(st.booleans()) and view.shape[axis] > 1:
                start = draw(st.integers(0, view.shape[axis] - 1))
                step = draw(st.integers(1, 3))
                view = view[(slice(None),) * axis + (slice(start, None, step),)]
        tensors[f"base.{index}"] = base
        tensors[f"view.{index}"] = view
    return tensors


@settings(
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tensors=layouts(), protocol=st.sampled_from([2, 3, 4, 5]), legacy=st.booleans())
def test_round_trip(
    tensors: dict[str, Tensor], protocol: int, legacy: bool, tmp_path: Path, extract: Extract
) -> None:
    path = tmp_path / "x.pth"
    torch.save(tensors, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    loaded = safetensors.torch.load_file(extract(path))
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        # All values are small integers, so that the comparison in float64 is exact.
        assert torch.equal(loaded[name].double(), tensor.double()), name


def test_parameters_are_tensors(tmp_path: Path, extract: Extract) -> None:
    parameter = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).t())
    (tmp_path / "x").write_bytes(torch_bytes({"p": parameter}))
    loaded = safetensors.torch.load_file(extract(tmp_path / "x"))
    assert torch.equal(loaded["p"], parameter.detach())


def test_a_leading_module_is_stripped(tmp_path: Path, read: Read) -> None:
    state = {f"module.{name}": tensor for name, tensor in coop_state().items()}
    (tmp_path / "x").write_bytes(torch_bytes({"state_dict": state}))
    reading = read(tmp_path / "x")
    assert (reading.family, ids(reading)) == ("CoOp", ["prefix-stripped"])
    state["ctx"] = torch.zeros(4, 16)
    (tmp_path / "x").write_bytes(torch_bytes({"state_dict": state}))
    assert ids(read(tmp_path / "x"))[0] == "duplicate-key"


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"weights": {"layer_0": "none"}, "metadata": {}},
        {"state_dict": [torch.zeros(2)]},
        torch.zeros(3),
        {},
    ],
)
def test_no_state_dict(content: object, tmp_path: Path, read: Read) -> None:
    (tmp_path / "x").write_bytes(torch_bytes(content))
    assert ids(read(tmp_path / "x")) == ["no-state-dict"]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(4).to_sparse(),
        torch.zeros(4, dtype=torch.complex64),
        torch.zeros(1).expand(1_000_000),
    ],
)
def test_kinds_that_are_refused(tensor: Tensor, tmp_path: Path, read: Read) -> None:
    (tmp_path / "x").write_bytes(torch_bytes({"state_dict": {"ctx": tensor}}))
    assert ids(read(tmp_path / "x"))[0] in ("unsupported-tensor", "storage-out-of-range")
    assert read(tmp_path / "x").canonical is None


def test_a_small_expanded_tensor_is_read(tmp_path: Path, extract: Extract) -> None:
    tensor = torch.arange(3.0).expand(5, 3)
    (tmp_path / "x").write_bytes(torch_bytes({"state_dict": {"ctx": tensor}}))
    assert torch.equal(safetensors.torch.load_file(extract(tmp_path / "x"))["ctx"], tensor)


def test_what_is_no_tensor_is_left_out(tmp_path: Path, read: Read) -> None:
    (tmp_path / "x").write_bytes(torch_bytes({"state_dict": {**coop_state(), "note": "hello"}}))
    reading = read(tmp_path / "x")
    assert ids(reading) == ["state-dict-extra"]
    assert reading.canonical


STORAGE = Storage(100, 64)


@pytest.mark.parametrize(
    ("shape", "stride", "start"),
    [
        ((4, 4), (4, 1), 1),
        ((17,), (1,), 0),
        ((2,), (16,), 0),
        ((4,), (-1,), 3),
        ((-4,), (1,), 0),
        ((4,), (1,), -1),
        ((4, 4), (1,), 0),
        ((2**62, 4), (4, 1), 0),
        ((2**40,), (0,), 0),
        ((2**20, 1), (0, 1), 0),
    ],
)
def test_views_that_cannot_be(shape: tuple[int, ...], stride: tuple[int, ...], start: int) -> None:
    with pytest.raises(MalformedArtifact):
        check_view(View("x", "F32", shape, stride, start, STORAGE), Limits())


def test_too_many_dimensions() -> None:
    with pytest.raises(LimitExceeded):
        check_view(View("x", "F32", (1,) * 9, (1,) * 9, 0, STORAGE), Limits())


def test_runs_merge_what_is_contiguous() -> None:
    view = View("x", "F32", (3, 2, 4), (8, 4, 1), 0, STORAGE)
    assert list(runs(view)) == [(0, 24, 1)]
    view = View("x", "F32", (2, 2, 3), (20, 3, 1), 0, STORAGE)
    assert list(runs(view)) == [(0, 6, 1), (20, 6, 1)]


def forged(tmp_path: Path, old: bytes, new: bytes) -> Path:
    """A bare dict of one 4 x 4 tensor, with one number in its pickle replaced."""
    source = tmp_path / "source.pth"
    torch.save({"ctx": torch.zeros(4, 4)}, source)
    records = records_of(source)
    assert records["data.pkl"].count(old) == 1
    records["data.pkl"] = records["data.pkl"].replace(old, new)
    return write_torch_zip(tmp_path / "forged.pth", records)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x10tq", b"K\xfftq"),
        (b"K\x10tq", b"J\xff\xff\xff\x7ftq"),
        (b"K\x10tq", b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x01tq"),
        (b"QK\x00K\x04K\x04\x86", b"QK\x00K\x05K\x04\x86"),
        (b"QK\x00K\x04K\x04\x86", b"QK\x01K\x04K\x04\x86"),
        (b"K\x04K\x01\x86", b"J\xfc\xff\xff\xffK\x01\x86"),
        (b"K\x04K\x01\x86", b"K\x04J\xff\xff\xff\x7f\x86"),
    ],
)
def test_forged_sizes(old: bytes, new: bytes, tmp_path: Path, read: Read) -> None:
    reading = read(forged(tmp_path, old, new))
    assert ids(reading)[0] in ("storage-out-of-range", "tensor-malformed")
    assert reading.canonical is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_non_finite_values_are_counted_and_named(
    dtype: torch.dtype, tmp_path: Path, read: Read
) -> None:
    state = {name: tensor.to(dtype) for name, tensor in cocoop_state().items()}
    state["meta_net.linear1.weight"][0, :3] = torch.tensor([float("nan"), float("inf"), -1])
    state["token_suffix"][2, 5, 3] = float("-inf")
    (tmp_path / "x").write_bytes(torch_bytes(state))
    reading: Reading = read(tmp_path / "x")
    assert ids(reading) == ["non-finite-tensor", "non-finite-tensor"]
    counts = {tensor.name: tensor.nonfinite for tensor in reading.tensors if tensor.nonfinite}
    assert counts == {"meta_net.linear1.weight": 2, "token_suffix": 1}
    assert "meta_net.linear1.weight holds 2" in reading.findings[0].message


@pytest.mark.parametrize(
    ("dtype", "code"),
    [
        (torch.float16, "F16"), (torch.bfloat16, "BF16"), (torch.float32, "F32"),
        (torch.float64, "F64"), (torch.float8_e5m2, "F8_E5M2"), (torch.float8_e4m3fn, "F8_E4M3"),
    ],
)  # fmt: skip
@settings(deadline=None, derandomize=True, max_examples=50)
@given(data=st.binary(max_size=320))
def test_counting_agrees_with_torch(dtype: torch.dtype, code: str, data: bytes) -> None:
    data = data[: len(data) // 8 * 8]
    expected = 0
    if data:
        values = torch.frombuffer(bytearray(data), dtype=dtype).to(torch.float64)
        expected = int((~torch.isfinite(values)).sum())
    assert count_nonfinite(data, code) == expected


def test_counting_is_fast() -> None:
    """16 MB in well under the two seconds that reading may take for it."""
    block = struct.pack("<f", float("nan")) * 262_144
    start = time.perf_counter()
    assert sum(count_nonfinite(block, "F32") for _ in range(16)) == 16 * 262_144
    assert time.perf_counter() - start < 1
