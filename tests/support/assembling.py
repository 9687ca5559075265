"""From a file to its classifier in this process, and what must hold for every classifier."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from inspector.checkpoint import read_artifact
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.assembly import Assembly, assemble
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.manifest import Manifest


def assembled(artifact: Path, out: Path, backbone: Backbone, **manifest: object) -> Assembly:
    """Read `artifact` and assemble it with a manifest given as its fields."""
    out.mkdir(exist_ok=True)
    reading = read_here(artifact, out, ReaderOptions())
    assert reading.canonical, reading.findings
    return assemble(reading, out / reading.canonical, Manifest.parse(manifest), backbone)


def delivered(folder: Path, backbone: Backbone) -> Classifier:
    """What an inspection would see of a zoo model's folder, frozen, through the sandboxed reader.

    Raises:
        ValueError: the file cannot be read as canonical tensors.
        AssemblyError: file, manifest and backbone do not fit together.
    """
    with TemporaryDirectory() as scratch:
        reading = read_artifact(folder / "prompt_learner", Path(scratch))
        if reading.canonical is None:
            raise ValueError(f"{folder.name}: {[finding.id for finding in reading.findings]}")
        canonical = Path(scratch) / reading.canonical
        assembly = assemble(reading, canonical, manifest_in(folder), backbone)
    return assembly.classifier.requires_grad_(False)


def manifest_in(folder: Path) -> Manifest:
    """What the vendor of a zoo model states."""
    return Manifest.parse(json.loads((folder / "manifest.json").read_text()))


def ids(assembly: Assembly) -> list[str]:
    """The ids of all findings."""
    return [finding.id for finding in assembly.findings]


def pixels_of(backbone: Backbone, count: int = 4, seed: int = 9) -> Tensor:
    """Random images in [0,1]."""
    size = backbone.image_size
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def assert_columns(classifier: Classifier, images: Tensor) -> None:
    """That logits for some classes are those columns of all logits, frozen or not."""
    with torch.no_grad():
        features = classifier.image_features(images)
        count = len(classifier.classnames)
        some = torch.tensor([count - 1, 0, count - 1])
        each = torch.stack([torch.arange(2).add(row) % count for row in range(len(images))])
        for is_frozen in (False, True):
            classifier.requires_grad_(not is_frozen)
            full = classifier.logits_from_features(features)
            columns = classifier.logits_from_features(features, some)
            assert (columns - full[:, some]).abs().max() <= 1e-4
            own = classifier.logits_from_features(features, each)
            assert (own - full.gather(1, each)).abs().max() <= 1e-4
