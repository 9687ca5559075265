"""From image and text features to cosines: one prompt for each class, an ensemble, or transport.

Class axis k, prompts for each class N, image positions P. Sources: KaiyangZhou/CoOp
`trainers/zsclip.py` (ensemble), CHENGY12/PLOT `plot-coop/trainers/plot.py` (transport),
gaopengcuhk/Tip-Adapter `main.py` (cache).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SHARPNESS, _ITERATIONS, _STOP = 0.1, 100, 1e-2
"""Sinkhorn's entropy weight, most iterations, and mean change at which the original code stops."""


@dataclass(frozen=True)
class CacheModel:
    """Tip-Adapter's addition: alpha exp(-beta (1 - f keys)) values, of normalised features f.

    keys: (M, D); values: (M, K).
    """

    keys: Tensor
    values: Tensor
    alpha: float
    beta: float

    def __call__(self, features: Tensor, classes: Tensor | None) -> Tensor:
        """Logits (B, K), or (B, k) for `classes`, (k,) or (B, k), to add to those of the text."""
        affinity = features @ self.keys.T
        logits = self.alpha * (self.beta * (affinity - 1)).exp() @ self.values
        if classes is None:
            return logits
        return logits.gather(1, classes) if classes.ndim == 2 else logits[:, classes]


@dataclass(frozen=True)
class Matching:
    """How many prompts stand for a class, and how they meet the image.

    Text features come in as (N * K, D), all classes of the first prompt first. With
    `is_transported` they stay apart and meet every image position; else they are averaged.
    """

    prompts_per_class: int = 1
    is_transported: bool = False
    cache: CacheModel | None = None

    def gather(self, features: Tensor) -> Tensor:
        """Normalised text features (N * K, D) by class: (K, D), or (K, N, D) to be transported."""
        if self.prompts_per_class == 1 and not self.is_transported:
            return features
        sets = features.view(self.prompts_per_class, -1, features.shape[-1])
        if self.is_transported:
            return sets.transpose(0, 1)
        return functional.normalize(sets.mean(0), dim=-1)

    def cosines(self, image: Tensor, text: Tensor) -> Tensor:
        """(B, k) for image features (B, D) and text (k, D), or (B, k, D) with texts of each image.

        Transported: image (B, P, D), text (k, N, D) or (B, k, N, D).
        """
        if self.is_transported:
            return _transported(image, text)
        if text.ndim == 2:
            return image @ text.T
        return torch.einsum("bd,bkd->bk", image, text)


def _transported(image: Tensor, text: Tensor) -> Tensor:
    """Cosines averaged by the plan that moves image positions to prompts at least cost."""
    pattern = "bpd,knd->bkpn" if text.ndim == 3 else "bpd,bknd->bkpn"
    cosines = torch.einsum(pattern, image, text)
    flat = cosines.flatten(0, 1)
    with torch.no_grad():
        plan = _plan(((flat - 1) / _SHARPNESS).exp())
    return (plan * flat).sum((1, 2)).view(cosines.shape[:2])


def _plan(kernel: Tensor) -> Tensor:
    """Sinkhorn's plan (Q, P, N) between uniform weights, for Q problems at once.

    The stop averages over all of them, as in the original code, so that a plan depends a little on
    what else is in the batch.
    """
    _, positions, prompts = kernel.shape
    rows = torch.ones_like(kernel[:, :, 0])
    columns = torch.ones_like(kernel[:, 0])
    for _ in range(_ITERATIONS):
        before = rows
        rows = (1 / positions) / (kernel @ columns[..., None])[..., 0]
        columns = (1 / prompts) / (kernel.mT @ rows[..., None])[..., 0]
        if float((rows - before).abs().mean()) < _STOP:
            break
    return rows[..., None] * columns[:, None] * kernel
