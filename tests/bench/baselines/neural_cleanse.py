"""Neural Cleanse (Wang et al., S&P 2019; bolunwang/backdoor), as CLIP-Inspector's authors ran it.

For every class a mask and a picture are sought that send images there: cross entropy plus a weighted
L1 norm of the mask, Adam at rate 0.1, batches of 32. The weight is 0 until the attack succeeds on
99 % five times in a row, then starts at 1e-3 and goes up by 2 or down by 2^1.5 (the released GTSRB
example). A class whose mask is smaller than the others' by more than two robust deviations is
flagged.

The original takes up to 1,000 rounds of 1,000 images. CLIP-Inspector's comparison gave it five
epochs; in as few rounds the weight would never leave 0, so here it is adapted, and the best mask
kept, after every update instead of every round.
"""

from __future__ import annotations

import math

import torch

from inspector.clip.classifier import Classifier
from inspector.detection.pools import Pools
from inspector.detection.published_test import one_sided_mad
from tests.bench.baselines.common import Result, Setting, batches, success
from tests.bench.baselines.penalty import Mask, Stamp, Weight

EPOCHS, BATCH, THRESHOLD = 5, 32, 2.0
BOUND, PATIENCE, UP = 0.99, 5, 2.0
STOP_PATIENCE = 5 * PATIENCE
"""Updates without a smaller mask after which a class is done, once the weight went both ways."""


def neural_cleanse(classifier: Classifier, pools: Pools, setting: Setting) -> Result:
    """Search every class; `values` are L1 norms of masks, in pixels."""
    sizes, shares = [], []
    for target in range(len(classifier.classnames)):
        size, trigger = smallest(classifier, pools, target, setting)
        sizes.append(size)
        shares.append(success(classifier, pools.held_out, trigger, target))
    return smallest_stands_out(sizes, shares)


def smallest_stands_out(sizes: list[float], shares: list[float]) -> Result:
    """The anomaly index of the smallest trigger: (median - size) / (1.4826 MAD), flagged above 2."""
    index = one_sided_mad([-size for size in sizes])
    best = min(range(len(sizes)), key=sizes.__getitem__)
    return Result(index[best], index[best] > THRESHOLD, best, sizes, shares)


def smallest(
    classifier: Classifier, pools: Pools, target: int, setting: Setting
) -> tuple[float, Stamp]:
    """L1 norm and trigger of the smallest mask that succeeded, else of the last one."""
    pixels, generator = pools.optimisation, setting.generator(target)
    shape = pixels.shape[-2:]
    drawn = [torch.rand(count, *shape, generator=generator) for count in (1, 3)]
    mask = Mask(*(part.to(pixels.device) for part in drawn))
    weight = Weight(BOUND, UP, UP**1.5, PATIENCE, wait=PATIENCE)
    best, kept, idle, size = math.inf, None, 0, math.inf
    steps = setting.steps(EPOCHS * -(-len(pixels) // BATCH))
    for rows in batches(len(pixels), BATCH, steps, generator, pixels.device):
        before = mask.frozen()
        share, size = mask.update(classifier, pixels[rows], target, weight.value)
        idle += 1
        if share >= BOUND and size < best:
            best, kept, idle = size, before, 0
        if weight.has_risen and weight.has_fallen and kept is not None and idle >= STOP_PATIENCE:
            break
        weight.step(share)
    if kept is None:
        kept = mask.frozen()
        best = kept.mask.sum().item()
    return best, kept
