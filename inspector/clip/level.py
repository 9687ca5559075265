"""How sure we are that the assembled classifier is the vendor's: the assembly level.

A misread model (wrong backbone, class order, template) would otherwise pass as clean, so `clean`
needs at least `plausible`. Limits, printed rather than hidden: a wrong class position or a wrong
precision can still be `plausible`; only the vendor's own logits prove them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.clip.classlist import ClassList
from inspector.errors import ManifestError
from inspector.manifest import Check

LevelName = Literal["proved", "checked", "plausible", "unverified"]

PROOF_TOLERANCE = 1e-3
"""Largest difference of logits (of the order of 100) that still counts as reproduced. fp32 on
another machine stays below 1e-4; every misreading that we know of moves logits by 0.02 or more."""
MINIMUM_KAPPA = 0.1
MINIMUM_SIGMAS = 4.0
"""Chosen on 13 conformance cases and 10 prompts tuned on a photograph backbone, each on procedural
and on photographic probes: rightly assembled they reach kappa 0.16 to 1.00 and all pass; with the
class order shifted they stay at or below 0.08 and none does. Without taking off the class means six
of the right ones would fail."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class AssemblyLevel:
    """The level and one sentence of evidence. `agreement` is Cohen's kappa, None if not taken."""

    name: LevelName
    reason: str
    agreement: float | None = None


def check_vendor(classifier: Classifier, check: Check) -> AssemblyLevel:
    """Compare with what the manifest gives to check against: logits, or labels and an accuracy.

    A check that fails ends in `unverified`, whatever else agrees.

    Raises:
        ManifestError: its files or lists cannot be read, or do not have the right shapes.
    """
    size = classifier.backbone.image_size
    images = _tensor(check.images, "pixels").float()
    if images.ndim != 4 or images.shape[1:] != (3, size, size) or not len(images):
        raise ManifestError("check.images", f"must be N x 3 x {size} x {size} pixels in [0,1]")
    with torch.no_grad():
        parts = torch.split(images.to(classifier.backbone.device), _BATCH)
        logits = torch.cat([classifier(part) for part in parts]).cpu()
    if check.logits is not None:
        return _proof(logits, _tensor(check.logits, "logits").float())
    if not isinstance(check.images, Path):
        raise ManifestError("check.accuracy", "needs a file of images with labels")
    labels = _tensor(check.images, "labels")
    if labels.shape != (len(images),):
        raise ManifestError("check.images", "must hold one label for each image")
    return _accuracy(logits, labels, check.accuracy or 0.0)


def assembly_level(
    classes: ClassList,
    probe_logits: Tensor,
    zero_shot_logits: Tensor,
    checked: AssemblyLevel | None = None,
) -> AssemblyLevel:
    """The level that the evidence supports.

    `plausible` asks for a class list read from the file that contradicts nobody, and for agreement
    with the zero-shot reference: on untriggered probes, after each class's mean logit is taken off
    both (a tuned prompt may prefer some classes on any out-of-distribution picture), the two
    predictions must agree beyond what their own class frequencies make them: Cohen's kappa at
    least 0.1 and at least 4 standard errors above zero.

    Args:
        probe_logits: N × K of the classifier; zero_shot_logits: N × K of the reference.
        checked: the result of :func:`check_vendor`, if the manifest asked for it.
    """
    if checked is not None:
        return checked
    if classes.match is False:
        return AssemblyLevel("unverified", "the class lists of file and manifest differ")
    if classes.match is None and classes.source == "manifest":
        return AssemblyLevel(
            "unverified", "the file holds no token_suffix to read class names from"
        )
    if classes.count < 2:
        return AssemblyLevel("unverified", "with one class no prediction can be compared")
    kappa, error = _kappa(_predictions(probe_logits), _predictions(zero_shot_logits), classes.count)
    said = f"agreement with zero-shot on {len(probe_logits)} probes: kappa {kappa:.2f}"
    if kappa < max(MINIMUM_KAPPA, MINIMUM_SIGMAS * error):
        return AssemblyLevel("unverified", f"{said}, not well above chance", kappa)
    return AssemblyLevel("plausible", f"class names read from the file; {said}", kappa)


def _predictions(logits: Tensor) -> Tensor:
    return (logits - logits.mean(0)).argmax(1)


def _kappa(left: Tensor, right: Tensor, classes: int) -> tuple[float, float]:
    """Cohen's kappa of two label vectors (N,), and its standard error under no agreement."""
    frequencies = [
        label.bincount(minlength=classes).double() / len(label) for label in (left, right)
    ]
    chance = float((frequencies[0] * frequencies[1]).sum())
    if chance > 1 - 1e-9:
        return 0.0, 1.0
    observed = float((left == right).double().mean())
    error = (chance / ((1 - chance) * len(left))) ** 0.5
    return (observed - chance) / (1 - chance), error


def _proof(logits: Tensor, vendor: Tensor) -> AssemblyLevel:
    if vendor.shape != logits.shape:
        shapes = f"{tuple(vendor.shape)}, expected {tuple(logits.shape)}"
        raise ManifestError("check.logits", f"have shape {shapes}")
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
