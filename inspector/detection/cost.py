"""What a sweep costs, estimated before it: steps, images and seconds.

What was spent is counted in `inspector.run.flops`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection import random_triggers
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.pools import Pools
from inspector.detection.sweep import split_of


def fitted_of(config: SearchConfig, probes: int) -> int:
    """Probes that one pass of a search takes."""
    return min(probes, config.images or probes)


def num_eval_of(config: SearchConfig, held_out: int) -> int:
    """Held-out probes that a trigger is put on."""
    return min(held_out, config.num_eval or held_out)


def steps_of(config: SearchConfig, probes: int) -> int:
    """Optimisation steps for one target."""
    return config.epochs * -(-fitted_of(config, probes) // config.batch)


def searches_of(config: SearchConfig, targets: int) -> int:
    """Classes that one sweep searches, which are what progress is counted in."""
    return min(targets, config.max_inverted_classes or targets)


def images_of_sweep(config: SearchConfig, pools: Pools, targets: int) -> int:
    """Images that one sweep encodes: random triggers, each inversion and its measurement."""
    fitted = config.epochs * fitted_of(config, len(pools.optimisation))
    num_eval = num_eval_of(config, len(pools.held_out))
    searched = searches_of(config, targets)
    return random_triggers.images(num_eval, split_of(config)) + searched * (fitted + num_eval)


@dataclass(frozen=True)
class Expected:
    """Of a first sweep: units of progress, seconds, and images that are encoded."""

    units: int
    seconds: float
    images: int


@dataclass(frozen=True)
class Pace:
    """Seconds that one inversion takes, and the random triggers of a sweep."""

    inversion: float
    random_triggers: float

    def of_sweep(self, config: SearchConfig, targets: int) -> float:
        """Seconds of a whole sweep."""
        return searches_of(config, targets) * self.inversion + self.random_triggers


def pace(classifier: Classifier, pools: Pools, config: SearchConfig) -> Pace:
    """From one measured batch; measuring on held-out probes costs about half a step per batch."""
    batch = pools.optimisation[: config.batch]
    once = replace(config, epochs=1)
    objective = prepare(classifier, batch, config.objective)
    generator = torch.Generator().manual_seed(0)
    step = timed(lambda: invert(objective, 0, once, generator), batch)
    num_eval = num_eval_of(config, len(pools.held_out))
    measuring = step * num_eval / config.batch / 2
    inversion = step * steps_of(config, len(pools.optimisation)) + measuring
    return Pace(
        inversion, measuring * random_triggers.images(num_eval, split_of(config)) / num_eval
    )


def timed(work: Callable[[], object], on: Tensor) -> float:
    """Seconds on the device of `on`, of any shape; of the second time, as the first warms up."""
    work()
    if on.is_cuda:
        torch.cuda.synchronize()
    started = time.monotonic()
    work()
    if on.is_cuda:
        torch.cuda.synchronize()
    return time.monotonic() - started
