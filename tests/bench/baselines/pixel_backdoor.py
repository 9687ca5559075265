"""Pixel-Backdoor (Tao et al., CVPR 2022; Gwinhen/PixelBackdoor), as CLIP-Inspector's authors ran it.

For every class two patterns are sought, one added to and one taken from the images: cross entropy
plus a weighted, smooth count of the pixels that they touch, Adam at rate 0.1 (betas 0.5 and 0.9),
batches of 32. The weight starts at 1e-3 and goes up by 1.5 or down by 1.5^1.5 after ten successes
(90 %) or failures in a row. Values below 1/255 are zeroed whenever a smaller trigger is found.

The original takes 1,000 rounds over 50 to 100 images; CLIP-Inspector's comparison gave it five epochs
over its pool, so here the weight is adapted after every update. The original reports a trigger's size
in pixels; classes are compared by it with Neural Cleanse's outlier rule. A class for which nothing
succeeded counts with all pixels.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.detection.pools import Pools
from tests.bench.baselines.common import Result, Setting, batches, success
from tests.bench.baselines.neural_cleanse import smallest_stands_out
from tests.bench.baselines.penalty import Weight

EPOCHS, BATCH, BOUND, PATIENCE, UP = 5, 32, 0.9, 10, 1.5
SMALL = 1 / 255


def pixel_backdoor(classifier: Classifier, pools: Pools, setting: Setting) -> Result:
    """Search every class; `values` are numbers of changed pixels."""
    sizes, shares = [], []
    for target in range(len(classifier.classnames)):
        size, pattern = fewest(classifier, pools, target, setting)
        sizes.append(float(size))
        trigger = partial(_added, pattern)
        shares.append(success(classifier, pools.held_out, trigger, target))
    return smallest_stands_out(sizes, shares)


def fewest(
    classifier: Classifier, pools: Pools, target: int, setting: Setting
) -> tuple[int, Tensor]:
    """Number of changed pixels and pattern (3, H, W) of the smallest trigger that succeeded.

    All pixels and the last pattern where none did.
    """
    pixels, generator = pools.optimisation, setting.generator(target)
    drawn = torch.rand(2, *pixels.shape[1:], generator=generator)
    patterns = drawn.to(pixels.device).requires_grad_()
    optimizer = torch.optim.Adam([patterns], lr=0.1, betas=(0.5, 0.9))
    weight = Weight(BOUND, UP, UP**1.5, PATIENCE)
    labels = torch.full((BATCH,), target, device=pixels.device)
    smoothest, best, kept = float("inf"), pixels[0, 0].numel(), None
    steps = setting.steps(EPOCHS * -(-len(pixels) // BATCH))
    for rows in batches(len(pixels), BATCH, steps, generator, pixels.device):
        more, less = patterns.clamp(0, 1)
        logits = classifier((pixels[rows] + more - less).clamp(0, 1))
        smooth = _smooth_count(patterns)
        loss = functional.cross_entropy(logits, labels[: len(rows)]) + weight.value * smooth
        (patterns.grad,) = torch.autograd.grad(loss, patterns)
        optimizer.step()
        share = (logits.argmax(1) == target).float().mean().item()
        trimmed = torch.stack([more, less]).detach()
        trimmed[trimmed < SMALL] = 0
        count = touched(trimmed[0] - trimmed[1])
        if share >= BOUND and smooth.item() < smoothest and count < best:
            smoothest, best, kept = smooth.item(), count, trimmed[0] - trimmed[1]
            with torch.no_grad():
                patterns.copy_(trimmed)
        weight.step(share)
    if kept is None:
        more, less = patterns.detach().clamp(0, 1)
        kept = more - less
    return best, kept


def _added(pattern: Tensor, pixels: Tensor) -> Tensor:
    return (pixels + pattern).clamp(0, 1)


def touched(pattern: Tensor) -> int:
    """Pixels of a pattern (3, H, W) that are not zero in every channel."""
    return int((pattern.abs().sum(0) > 0).sum())


def _smooth_count(patterns: Tensor) -> Tensor:
    """The published stand-in for the number of pixels of both patterns (2, 3, H, W)."""
    return (torch.tanh(patterns / 10) / (2 - 1e-7) + 0.5).amax(1).sum()
