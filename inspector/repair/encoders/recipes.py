"""How long, how fast and by which rates encoders are cleaned: data, with where each number is from.

What the sources do not say is PAR's here: AdamW with betas (0.9, 0.98) and a weight decay of 1e-4
on matrices. One thing is no source's: gradients are cut at a norm of 1, since an update that leaves
the neighbourhood of delivered weights on a few hundred pairs does not come back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Decline = Literal["cosine", "linear-cosine"]

BETAS = (0.9, 0.98)
WEIGHT_DECAY = 1e-4
LONGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Schedule:
    """Passes over the pairs, pairs an update, and the rate of each update.

    Attributes:
        rate: the peak.
        warm_up: updates over which the rate rises in proportion from zero.
        decline: half a cosine to zero; or to a tenth of the peak along a line in the first half and
            half a cosine to zero in the second.
    """

    epochs: int
    batch: int
    rate: float
    warm_up: int = 0
    decline: Decline = "cosine"

    def steps(self, pairs: int) -> int:
        """Updates over so many pairs."""
        return self.epochs * max(1, pairs // self.batch)

    def rates(self, pairs: int) -> list[float]:
        """One an update."""
        number = self.steps(pairs)
        warm = min(self.warm_up, number // 2)
        rising = [self.rate * (step + 1) / warm for step in range(warm)]
        return rising + [self._at(step / (number - warm)) for step in range(number - warm)]

    def _at(self, passed: float) -> float:
        """The rate when this share of the updates behind the warm-up has passed."""
        if self.decline == "cosine":
            return self.rate * _cosine(passed)
        if passed < 0.5:
            return self.rate * (1 - 0.9 * 2 * passed)
        return 0.1 * self.rate * _cosine(2 * passed - 1)


def _cosine(passed: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * passed))


PAR = Schedule(epochs=10, batch=512, rate=3e-5, decline="linear-cosine")
"""arXiv 2412.00727; the released script runs 2 epochs over 250,000 pairs, the paper says 10."""
CLEAN_CLIP = Schedule(epochs=10, batch=64, rate=1e-5, warm_up=50)
"""README of the released code of CleanCLIP (ICCV 2023), on 100,000 pairs."""
UNLEARNING = Schedule(epochs=2, batch=64, rate=1e-5)
"""arXiv 2409.19526 forgets in few epochs; these numbers are ours."""
CONTRASTIVE = CLEAN_CLIP
"""The control has what CleanCLIP has, so that only the terms differ."""

SMALL_ENCODER = 10_000_000
"""Weights of an image encoder below which the rates below stand for the published ones, which are
of encoders ten to a hundred times as large."""
SMALL = Schedule(epochs=3, batch=32, rate=3e-4)
"""At the rate at which such an encoder is tuned to a task; set before experiment 57."""
SMALL_PAR = Schedule(epochs=3, batch=32, rate=3e-4, decline="linear-cosine")
"""The same with PAR's own decline."""

HARD_THRESHOLD = 2.15
"""PAR's: squared distance of normalised embeddings beyond which nothing pushes any further; a mean
cosine of -0.075."""
PUSH = 0.5
"""PAR's weight of each of both distances."""
IN_MODAL = 1.0
"""CleanCLIP's weight of the in-modal terms."""
