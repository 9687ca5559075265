"""What a manifest gives to check the assembly against: images with logits, or with labels.

Knows what counts as reproduced; what is done when something is not is `inspector.clip.proof`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inspector.clip.batches import BATCH
from inspector.clip.classifier import Classifier
from inspector.clip.level import AssemblyLevel
from inspector.errors import ManifestError
from inspector.manifest import Check

PROOF_TOLERANCE = 1e-3
"""Largest difference of logits (of the order of 100) that still counts as reproduced. fp32 on
another machine stays below 1e-4; every misreading that we know of moves logits by 0.02 or more."""


def check_vendor(classifier: Classifier, check: Check) -> AssemblyLevel:
    """Compare with what the manifest gives to check against: logits, or labels and an accuracy.

    A check that fails ends in `unverified`, whatever else agrees.

    Raises:
        ManifestError: its files or lists cannot be read, or do not have the right shapes.
    """
    images = images_of(check, classifier.backbone.image_size)
    logits = logits_of(classifier, images)
    if check.logits is not None:
        return _proof(logits, vendors_logits(check, logits.shape))
    if not isinstance(check.images, Path):
        raise ManifestError("check.accuracy", "needs a file of images with labels")
    labels = _tensor(check.images, "labels")
    if labels.shape != (len(images),):
        raise ManifestError("check.images", "must hold one label for each image")
    return _accuracy(logits, labels, check.accuracy or 0.0)


def images_of(check: Check, size: int) -> Tensor:
    """Pixels (N, 3, size, size). Raises ManifestError."""
    images = _tensor(check.images, "pixels").float()
    if images.ndim != 4 or images.shape[1:] != (3, size, size) or not len(images):
        raise ManifestError("check.images", f"must be N x 3 x {size} x {size} pixels in [0,1]")
    return images


def vendors_logits(check: Check, shape: torch.Size) -> Tensor:
    """The vendor's logits, which must have `shape` (N, K). Raises ManifestError."""
    logits = _tensor(check.logits or (), "logits").float()
    if logits.shape != shape:
        raise ManifestError(
            "check.logits", f"have shape {tuple(logits.shape)}, expected {tuple(shape)}"
        )
    return logits


@torch.no_grad()
def logits_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Logits (N, K), on the CPU, of pictures (N, 3, S, S) in [0,1]."""
    parts = torch.split(images.to(classifier.backbone.device), BATCH)
    return torch.cat([classifier(part) for part in parts]).cpu()


def _proof(logits: Tensor, vendor: Tensor) -> AssemblyLevel:
    worst = float((logits - vendor).abs().max())
    said = f"vendor's logits on {len(logits)} images differ by at most {worst:.2g}"
    return AssemblyLevel("proved" if worst <= PROOF_TOLERANCE else "unverified", said)


def _accuracy(logits: Tensor, labels: Tensor, floor: float) -> AssemblyLevel:
    accuracy = float((logits.argmax(1) == labels).double().mean())
    count, chance = logits.shape
    said = f"accuracy {accuracy:.2f} on {count} labelled images, stated {floor:.2f}"
    if floor < 1.5 / chance:
        return AssemblyLevel("unverified", f"{said}: too close to guessing to show anything")
    return AssemblyLevel("checked" if accuracy >= floor else "unverified", said)


def _tensor(values: Path | tuple[object, ...], key: str) -> Tensor:
    field = f"check ({key})"
    if isinstance(values, Path):
        try:
            tensors = load_file(values)
        except (OSError, SafetensorError) as problem:
            raise ManifestError(field, f"cannot read {values.name}: {problem}") from problem
        if key not in tensors:
            raise ManifestError(field, f"{values.name} has no tensor {key!r}")
        return tensors[key]
    try:
        return torch.tensor(values)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise ManifestError(field, f"is no regular list of numbers: {problem}") from problem
