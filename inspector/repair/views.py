"""Mild changes of a picture that leave its class: what a trustworthy answer survives.

Crops of most of it from opposite corners, brighter and darker, and a small shift. No mirror images:
a mirrored arrow, letter or sign may be of another class, and nothing tells which tasks have such.
Nothing but a rim is lost, as what tells two classes apart may be anywhere else. Agreement under
augmentation is how semi-supervised learning chooses pseudo-labels (Sohn et al., NeurIPS 2020);
crops and shifts also move a trigger from where the prompt was taught to see it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.repair.tuning import Lesson

CROPPED, SHIFTED, BRIGHTNESS = 1 / 12, 1 / 24, 0.1
"""Shares of a side that a crop takes away and a shift moves; relative change of brightness."""


def _crop(pixels: Tensor, place: int, brightness: float) -> Tensor:
    """From the corner at the start (0) or at the end (1)."""
    size = pixels.shape[-1]
    cut = max(1, round(size * CROPPED))
    rows = slice(place * cut, size - (1 - place) * cut)
    cropped = pixels[:, :, rows, rows] * brightness
    whole = functional.interpolate(cropped, size, mode="bilinear", antialias=True)
    return whole.clamp(0, 1)


def _shift(pixels: Tensor) -> Tensor:
    """To the right and downwards, the rim repeated."""
    size = pixels.shape[-1]
    by = max(1, round(size * SHIFTED))
    return functional.pad(pixels, (by, 0, by, 0), mode="replicate")[:, :, :size, :size]


VIEWS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda pixels: _crop(pixels, 0, 1 + BRIGHTNESS),
    lambda pixels: _crop(pixels, 1, 1 - BRIGHTNESS),
    _shift,
)


@torch.no_grad()
def steady(classifier: Classifier, lesson: Lesson) -> Tensor:
    """Mask (N,) of the lesson's pictures of which the classifier says the same in every view."""
    is_steady = torch.ones(len(lesson), dtype=torch.bool, device=lesson.targets.device)
    for view in VIEWS:
        features = encoded(classifier, view(lesson.shown))
        is_steady &= classifier.logits_from_features(features).argmax(1) == lesson.targets
    return is_steady
