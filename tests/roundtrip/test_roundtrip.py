"""Whatever a method's code may legally save is read exactly, whichever file it comes in."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint.families import FAMILIES, named, recognise
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import Reading
from inspector.errors import ArtifactError
from tests.roundtrip import learners, wholes
from tests.roundtrip.containers import Container, clear, containers
from tests.roundtrip.drawn import Drawn

STRATEGIES = {**learners.STRATEGIES, **wholes.STRATEGIES}
EXAMPLES = int(os.environ.get("ROUNDTRIP_EXAMPLES", "9"))
"""For each family and property; the environment may ask for more."""
DETERMINISTIC = settings(
    deadline=None,
    derandomize=True,
    max_examples=EXAMPLES,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture,
    ],
)  # fmt: skip


def test_every_family_has_a_strategy() -> None:
    assert set(STRATEGIES) == {family.name for family in FAMILIES}


@pytest.mark.parametrize("family", STRATEGIES)
@DETERMINISTIC
@given(data=st.data())
def test_read_exactly(family: str, tmp_path: Path, data: st.DataObject) -> None:
    drawn = data.draw(STRATEGIES[family])
    assert drawn.family == family
    ways = [data.draw(containers(drawn.kind)) for _ in range(2)]
    digests = {_check_reading(drawn, way, tmp_path) for way in ways}
    assert len(digests) == 1


def _check_reading(drawn: Drawn, way: Container, folder: Path) -> str:
    """Deliver, read, compare; the digest of the canonical tensors."""
    clear(folder)
    artifact, ignored = way.write(drawn, folder / "in")
    out = folder / "out"
    out.mkdir()
    reading = read_here(artifact, out, ReaderOptions())
    assert [finding.id for finding in reading.findings] == way.findings
    assert (reading.family, reading.family_aliases) == (drawn.family, named(drawn.family).aliases)
    assert dict(reading.options) == drawn.options
    assert (reading.artifact.format, reading.container.outer) == (way.format, way.outer)
    assert reading.container.ignored == ignored
    if way.inner == "lora":
        assert dict(reading.metadata) == drawn.settings
    if way.outer is None:
        assert reading.artifact.sha256 == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert Reading.from_json(reading.to_json()) == reading
    assert reading.canonical is not None
    canonical = out / reading.canonical
    found = load_file(canonical)
    assert found.keys() == drawn.tensors.keys()
    for name, tensor in drawn.tensors.items():
        assert _bits(found[name]) == _bits(tensor), name
    described = {(t.name, t.shape, t.nonfinite) for t in reading.tensors}
    assert described == {
        (name, tuple(tensor.shape), int((~tensor.isfinite()).sum()))
        for name, tensor in drawn.tensors.items()
    }
    assert sorted(out.iterdir()) == [canonical]
    digest = hashlib.sha256(canonical.read_bytes()).hexdigest()
    assert reading.canonical_sha256 == digest
    return digest


def _bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    flat = tensor.detach().contiguous().reshape(-1)
    return tensor.dtype, tensor.shape, flat.view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("family", [f.name for f in FAMILIES if f.required])
@DETERMINISTIC
@given(data=st.data())
def test_what_lacks_required_keys_is_never_taken_for_another_family(
    family: str, data: st.DataObject
) -> None:
    """But for a file that has lost all that tells the two apart: it is one of the other."""
    drawn = data.draw(STRATEGIES[family])
    own = named(family)
    required = sorted(own.required)
    dropped = data.draw(st.sets(st.sampled_from(required), min_size=1))
    left = {n: tuple(t.shape) for n, t in drawn.tensors.items() if n not in dropped}
    try:
        found = recognise(left)
    except ArtifactError:
        return
    if found.unknown:
        return
    assert found.family != family
    other = named(found.family)
    assert not own.required & left.keys() - other.required
    assert all(other.knows(name) for name in left)
    assert other.options(left) == found.options


@pytest.mark.parametrize("family", STRATEGIES)
@DETERMINISTIC
@given(data=st.data())
def test_any_keys_end_in_a_family_or_in_a_reason(family: str, data: st.DataObject) -> None:
    """Some keys gone, some of other shapes: never an exception of another kind."""
    drawn = data.draw(STRATEGIES[family])
    names = sorted(drawn.tensors)
    shapes = {name: tuple(drawn.tensors[name].shape) for name in names}
    for name in data.draw(st.sets(st.sampled_from(names), max_size=6)):
        del shapes[name]
    axes = st.lists(st.integers(0, 9), max_size=5).map(tuple)
    if shapes:
        for name in data.draw(st.sets(st.sampled_from(sorted(shapes)), max_size=3)):
            shapes[name] = data.draw(axes)
    try:
        found = recognise(shapes)
    except ArtifactError as error:
        assert error.detail
        return
    assert found.family in STRATEGIES
    assert set(found.unknown) <= shapes.keys()


def test_plot_of_one_class_has_the_very_keys_of_a_class_specific_coop() -> None:
    shapes = {"ctx": (4, 2, 8), "token_prefix": (4, 1, 8), "token_suffix": (4, 74, 8)}
    found = recognise(shapes)
    assert (found.family, found.options["num_classes"]) == ("CoOp", 4)
