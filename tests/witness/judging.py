"""clipvet's side: the models of a file that it would inspect, and whether it could call the file clean.

Reads as the service does, every model of the artifact, but in this process: a child for each of
100,000 files would take hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from inspector.checkpoint import ReaderOptions, Reading, families, read_models
from inspector.checkpoint.read import read_here
from inspector.findings import Severity
from inspector.report import Evidence, verdict_of
from tests.support.banked import applied
from tests.witness.customers import bits
from tests.witness.sameness import Tensors


@dataclass(frozen=True, slots=True)
class Judged:
    """The models that are inspected, names that their families require, and what the best verdict is.

    ``may_be_clean``: nothing that was read forbids it. ``is_critical``: a finding says that the file
    runs code. ``findings`` are those of all models.
    """

    models: tuple[Tensors, ...]
    required: tuple[frozenset[str], ...]
    may_be_clean: bool
    is_critical: bool
    findings: tuple[str, ...]


def judged(path: Path, out: Path) -> Judged:
    """Read the artifact at ``path``; ``out`` is a folder of its own."""
    models = read_models(path, out, ReaderOptions(), read=_read)
    readings = [model.reading for model in models]
    found = [finding for reading in readings for finding in reading.findings]
    known = [families.named(r.family).required for r in readings if r.family and r.canonical]
    return Judged(
        tuple(_tensors(model.canonical) for model in models if model.canonical),
        tuple(known),
        all(_may_be_clean(reading) for reading in readings),
        any(finding.severity is Severity.CRITICAL for finding in found),
        tuple(f"{finding.id}: {finding.message}" for finding in found),
    )


def _read(path: Path, out: Path, options: ReaderOptions) -> Reading:
    out.mkdir(parents=True, exist_ok=True)
    return read_here(path, out, options)


def _may_be_clean(reading: Reading) -> bool:
    """The verdict after a search that ends well and finds nothing."""
    found = Evidence(
        "standard",
        0,
        {},
        list(reading.findings),
        "derived",
        is_complete=True,
        calibration=applied(),
    )
    return reading.canonical is not None and verdict_of(found) == "clean"


def _tensors(path: Path) -> Tensors:
    with torch.no_grad():
        return {name: bits(tensor) for name, tensor in load_file(path).items()}
