"""Triggers that are kept small by a penalty whose weight follows the attack's success.

Neural Cleanse (Wang et al., S&P 2019) introduced both the mask and the dynamic weight; K-Arm (ICML
2021) uses both, Pixel-Backdoor (CVPR 2022) the weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier

_EDGE = 1e-7
"""Keeps arctanh finite at 0 and 1; Keras' epsilon."""


class Weight:
    """The weight of a size penalty.

    It rises by `up` after `patience` steps in a row with success of at least `bound`, and falls by
    `down` after as many without. With `wait` it is 0 until that many successes in a row.
    """

    def __init__(
        self,
        bound: float,
        up: float,
        down: float,
        patience: int,
        *,
        initial: float = 1e-3,
        wait: int = 0,
    ) -> None:
        self.value = 0.0 if wait else initial
        self.has_risen = self.has_fallen = False
        self._bound, self._up, self._down, self._patience = bound, up, down, patience
        self._initial, self._wait = initial, wait
        self._waited = self._successes = self._failures = 0

    def step(self, success: float) -> None:
        """Tell the success of one step, in [0,1]."""
        succeeded = success >= self._bound
        if self.value == 0 and succeeded:
            self._waited += 1
            if self._waited >= self._wait:
                self.value = self._initial
                self._successes = self._failures = 0
                self.has_risen = self.has_fallen = False
        else:
            self._waited = 0
        self._successes = self._successes + 1 if succeeded else 0
        self._failures = 0 if succeeded else self._failures + 1
        if self._successes >= self._patience:
            self._successes, self.has_risen = 0, True
            self.value *= self._up
        elif self._failures >= self._patience:
            self._failures, self.has_fallen = 0, True
            self.value /= self._down


class Mask:
    """A picture laid over images through a mask, both kept in [0,1] by tanh.

    mask (1, H, W) and pattern (3, h, w) with h, w of 1 or H, W, all in [0,1]; Adam at rate 0.1 with
    betas 0.5 and 0.9.
    """

    def __init__(self, mask: Tensor, pattern: Tensor) -> None:
        self._mask, self._pattern = (
            _to_line(values).requires_grad_() for values in (mask, pattern)
        )
        self._optimizer = torch.optim.Adam([self._mask, self._pattern], lr=0.1, betas=(0.5, 0.9))

    @property
    def mask(self) -> Tensor:
        return _from_line(self._mask)

    def apply(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [0,1] with the trigger."""
        mask = self.mask
        return (1 - mask) * pixels + mask * _from_line(self._pattern)

    def frozen(self) -> Stamp:
        """The trigger as it is now."""
        return Stamp(self.mask.detach().clone(), _from_line(self._pattern).detach().clone())

    def update(
        self, classifier: Classifier, pixels: Tensor, target: int, weight: float
    ) -> tuple[float, float]:
        """One step on cross entropy and weighted mask size: success and size before it.

        The size is the L1 norm of the mask, in pixels.
        """
        logits = classifier(self.apply(pixels))
        labels = torch.full((len(pixels),), target, device=pixels.device)
        size = self.mask.abs().sum()
        loss = functional.cross_entropy(logits, labels) + weight * size
        self._mask.grad, self._pattern.grad = torch.autograd.grad(loss, (self._mask, self._pattern))
        self._optimizer.step()
        return (logits.argmax(1) == target).float().mean().item(), size.item()


@dataclass(frozen=True)
class Stamp:
    """A fixed trigger: mask (1, H, W) and pattern (3, H, W) in [0,1]."""

    mask: Tensor
    pattern: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        return (1 - self.mask) * pixels + self.mask * self.pattern


def _to_line(values: Tensor) -> Tensor:
    return torch.atanh((values.clamp(0, 1) - 0.5) * (2 - _EDGE) * (1 - _EDGE))


def _from_line(values: Tensor) -> Tensor:
    return torch.tanh(values) / (2 - _EDGE) + 0.5
