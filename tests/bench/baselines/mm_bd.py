"""MM-BD (Wang et al., S&P 2024; wanghangpsu/MM-BD `univ_bd.py`): maximum margins on free images.

For every class 30 images that start as uniform noise are moved, each by itself and without bound, to
the largest margin of that class: plain gradient steps of 0.01 with momentum 0.2 on the sum of the
margins, at most 300, stopping when the sum changes by less than 1e-5 of itself. A class's statistic
is the largest margin of its images. A gamma distribution fitted to all classes but the largest says
how likely the largest is; below p = 0.05 the model is called backdoored. No probes are used.

The released code makes a new optimiser for every step and so has no momentum; here it has the
published one.
"""

from __future__ import annotations

import math

import torch

from inspector.clip.classifier import Classifier
from inspector.detection.objectives import own_margins
from inspector.detection.pools import Pools
from tests.bench.baselines.common import Result, Setting
from tests.bench.baselines.gamma import order_p

IMAGES, STEPS, RATE, MOMENTUM, STILL = 30, 300, 1e-2, 0.2, 1e-5
THRESHOLD = 0.05
SMALLEST = 1e-300
"""Stands for a chance too small to be told from none, so that the score stays finite."""


def mm_bd(classifier: Classifier, pools: Pools, setting: Setting) -> Result:
    """Search every class; `values` are largest margins in logits, the score is -log10 of p."""
    values = [
        largest_margin(classifier, target, setting) for target in range(len(classifier.classnames))
    ]
    best = max(range(len(values)), key=values.__getitem__)
    p = chance(values)
    return Result(-math.log10(max(p, SMALLEST)), p < THRESHOLD, best, values, [])


def chance(values: list[float]) -> float:
    """p of the largest value; 1 where the others are too few or too alike to fit a spread."""
    others = sorted(values)[:-1]
    return order_p(max(values), others) if len(set(others)) > 1 else 1.0


def largest_margin(classifier: Classifier, target: int, setting: Setting) -> float:
    """The largest margin of the target that any of the images reaches."""
    size, device = classifier.backbone.image_size, classifier.backbone.device
    drawn = torch.rand(IMAGES, 3, size, size, generator=setting.generator(target))
    images = drawn.to(device).requires_grad_()
    optimizer = torch.optim.SGD([images], lr=RATE, momentum=MOMENTUM)
    last, largest = math.inf, -math.inf
    for _ in range(setting.steps(STEPS)):
        reached = own_margins(classifier, classifier.image_features(images.clamp(0, 1)), target)
        total = reached.sum()
        (images.grad,) = torch.autograd.grad(-total, images)
        optimizer.step()
        largest = reached.max().item()
        if abs(last - total.item()) < STILL * abs(last):
            break
        last = total.item()
    return largest
