"""Invert one target: a universal additive trigger in an L-infinity ball, found by Adam.

argmin over |t|_inf <= epsilon of the mean loss of clamp(x + t, 0, 1) over probes x. After the
published search (CLIP-Inspector, arXiv 2604.09101: Adam at rate 0.1 in batches of 32 for one
epoch); what is maximised stands in `inspector.detection.objectives`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection.objectives import OBJECTIVES, Objective
from inspector.errors import NumericalError
from inspector.profiles import ObjectiveName


@dataclass(frozen=True)
class SearchConfig:
    """What one search spends.

    Attributes:
        epsilon: radius of the ball in pixel units of [0,1].
        epochs: passes over the optimisation pool.
        batch: pictures a step.
        learning_rate: Adam's, in pixel units.
        objective: what is maximised.
    """

    epsilon: float
    epochs: int = 1
    batch: int = 32
    learning_rate: float = 0.1
    objective: ObjectiveName = "joint"


def prepare(classifier: Classifier, pixels: Tensor, name: ObjectiveName) -> Objective:
    """The objective for probes (N, 3, S, S) in [0,1]."""
    return OBJECTIVES[name].prepare(classifier, pixels)


def invert(
    objective: Objective, target: int, config: SearchConfig, generator: torch.Generator
) -> Tensor:
    """The trigger (3, S, S) found for `target`, within ±epsilon.

    Raises:
        NumericalError: the loss or its gradient became NaN or infinite.
    """
    epsilon, pixels = config.epsilon, objective.pixels
    start = torch.rand(pixels.shape[1:], generator=generator) * 2 - 1
    delta = (start * epsilon).to(pixels.device).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=config.learning_rate)
    for rows in _batches(len(pixels), config, generator):
        triggered = (pixels[rows.to(pixels.device)] + delta).clamp(0, 1)
        loss = objective.loss(triggered, target)
        (delta.grad,) = torch.autograd.grad(loss, delta)
        if not bool(torch.isfinite(delta.grad).all() & torch.isfinite(loss)):
            raise NumericalError(f"inversion of class {target}")
        optimizer.step()
        with torch.no_grad():
            delta.clamp_(-epsilon, epsilon)
    return delta.detach()


def _batches(number: int, config: SearchConfig, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(config.epochs):
        yield from torch.randperm(number, generator=generator).split(config.batch)
