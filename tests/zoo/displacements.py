"""Inversion among image features: one displacement for all pictures, found without an image encoder.

A meta-net reads nothing but the picture's feature, so whatever a vendor planted reaches the prompt as a
displacement of that feature. The detector searched for these from experiment 37 to 48; the attack
`evasive` trains against that search.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.detection.effects import CleanBaseline
from inspector.detection.objectives import PromptMargin
from inspector.errors import NumericalError

LENGTH = 0.6
"""Longest displacement, in mean distances between two untriggered probes: what the stronger stock
triggers reach."""
STEPS, READERS, JUDGES = 8, 8, 16
"""Updates, displaced features that prompts read in each, and held-out ones that it is judged by."""
STRIDE = 2.0
"""Length of an Adam update in longest displacements: from the first on it is at the surface."""


def displacement(
    probes: PromptMargin,
    target: int,
    generator: torch.Generator,
    steps: int = STEPS,
) -> Tensor:
    """The displacement (D,) of normalised features under which prompts send anchors to `target`.

    Raises:
        NumericalError: the loss or its gradient became NaN or infinite.
    """
    anchors = probes.anchors.features
    longest = LENGTH * float(torch.pdist(anchors).mean())
    size = anchors.shape[1]
    start = torch.randn(size, generator=generator) * (longest / 10 / math.sqrt(size))
    found = start.to(anchors.device).requires_grad_()
    optimizer = torch.optim.Adam([found], lr=STRIDE * longest / math.sqrt(size))
    for _ in range(steps):
        rows = torch.randperm(len(anchors), generator=generator)[:READERS]
        read = _displaced(anchors[rows.to(anchors.device)], found)
        loss = -probes.margin(read, target)
        (found.grad,) = torch.autograd.grad(loss, found)
        if not bool(torch.isfinite(found.grad).all() & torch.isfinite(loss)):
            raise NumericalError(f"the search among features for class {target}")
        optimizer.step()
        with torch.no_grad():
            found.mul_((longest / found.norm()).clamp(max=1))
    return found.detach()


@torch.no_grad()
def carried(classifier: Classifier, baseline: CleanBaseline, target: int, found: Tensor) -> float:
    """The share, in [0,1], that the displacement `found` (D,) carries to `target`.

    Of the pairs of a held-out feature and a held-out reader that are not there anyway.
    """
    assert baseline.text is not None
    readers = slice(0, JUDGES)
    text = classifier.prompts_read(_displaced(baseline.features[readers], found))
    before, after = (
        classifier.crossed_logits(baseline.features, said).argmax(-1)
        for said in (baseline.text[readers], text)
    )
    elsewhere = before != target
    carried_there = (after == target) & elsewhere
    return int(carried_there.sum()) / max(1, int(elsewhere.sum()))


def _displaced(features: Tensor, by: Tensor) -> Tensor:
    return functional.normalize(features + by, dim=-1)
