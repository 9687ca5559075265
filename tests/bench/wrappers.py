"""``python -m tests.bench.wrappers``: the conformance cases, re-wrapped as training tools save them.

Every case with a checkpoint in every way of ``tests.support.wrappers``: read, assembled, asked for its
logits, and held against those of the original code. ``bf16`` may differ by its rounding: its logits are
held against those of the rounded weights. Prints a row for each that fails and the shares; the fixtures
must lie beside the project.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint import Reading, read_artifact
from inspector.clip.assembly import assemble
from inspector.clip.backbone import Backbone, load_backbone
from inspector.errors import AssemblyError
from inspector.manifest import Manifest
from tests.conformance.conftest import FOLDER, cases, manifest_of
from tests.support.wrappers import WRAPPERS

TOLERANCE = 1e-4
_BF16 = 2.0
"""Logits are a hundred times a cosine; bf16 keeps eight bits."""


def checkpoint_of(case: str) -> Path | None:
    """The one file that is the case's checkpoint; None where it is several (Tip-Adapter) or none."""
    manifest = manifest_of(case)
    named = manifest.get("checkpoint")
    is_one = isinstance(named, str) and manifest["method"] != "Tip-Adapter"
    return FOLDER / case / str(named) if is_one else None


def wrapped(case: str, wrapper: str, folder: Path) -> Path:
    """The case's checkpoint, wrapped, below ``folder``."""
    path = checkpoint_of(case)
    assert path is not None
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)
    return WRAPPERS[wrapper](content, folder)


def logits_of(reading: Reading, out: Path, case: str, backbone: Backbone) -> Tensor:
    """What the classifier of a reading answers to the case's pictures, (N, K).

    Raises:
        AssemblyError: there is no classifier.
    """
    assert reading.canonical is not None
    manifest = Manifest.parse(manifest_of(case))
    built = assemble(reading, out / reading.canonical, manifest, backbone).classifier
    with torch.no_grad():
        answered: Tensor = built(load_file(FOLDER / case / "images.safetensors")["pixels"])
    return answered


def difference(case: str, wrapper: str, backbone: Backbone) -> float | str:
    """The largest difference from the original's logits, or why there are none."""
    with TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "in", Path(scratch) / "out"
        folder.mkdir()
        reading = read_artifact(wrapped(case, wrapper, folder), out)
        if reading.canonical is None:
            return "; ".join(f"{f.id}: {f.message} -> {f.remedy}" for f in reading.findings)
        try:
            found = logits_of(reading, out, case, backbone)
        except AssemblyError as problem:
            return f"{problem} -> {problem.finding.remedy}"
    return float((found - load_file(FOLDER / case / "logits.safetensors")["logits"]).abs().max())


def is_same(wrapper: str, found: float | str) -> bool:
    """Whether a difference is within what the wrapper may change."""
    return isinstance(found, float) and found <= (_BF16 if wrapper == "bf16" else TOLERANCE)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--case", nargs="*", default=[c for c in cases() if checkpoint_of(c)])
    parser.add_argument("--wrapper", nargs="*", default=list(WRAPPERS))
    wanted = parser.parse_args(arguments)
    same: Counter[str] = Counter()
    for case in wanted.case:
        backbone = load_backbone(str(FOLDER / manifest_of(case)["backbone_dir"] / "open_clip"))
        for wrapper in wanted.wrapper:
            found = difference(case, wrapper, backbone)
            same[wrapper] += is_same(wrapper, found)
            if not is_same(wrapper, found):
                print(f"{case} as {wrapper}: {found}"[:600], flush=True)
    _show(same, len(wanted.case))
    return 0 if sum(same.values()) >= 0.95 * len(wanted.case) * len(wanted.wrapper) else 1


def _show(same: Mapping[str, int], count: int) -> None:
    for wrapper, number in same.items():
        print(f"{wrapper}: {number} of {count}")
    print(f"all: {sum(same.values())} of {count * len(same)}")


if __name__ == "__main__":
    sys.exit(main())
