"""Alpha and beta of a cache model from logits that it gave.

For a given beta the best alpha is a quotient of sums; beta is found on a grid, then by narrowing it
down. The grid spans what gaopengcuhk/Tip-Adapter `utils.py` (`search_hp`) and its configurations
search, and more.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.errors import AssemblyError

_BETAS = torch.logspace(-2, 2, 81).tolist()
_NARROWINGS = 60


@torch.no_grad()
def fitted_cache(classifier: Classifier, images: Tensor, vendor: Tensor) -> tuple[float, float]:
    """Alpha and beta that come nearest to the vendor's logits (N, K) of `images`, in [0,1].

    Raises:
        AssemblyError: the classifier has no cache, or nothing is left for it to explain.
    """
    cache = classifier.matching.cache
    if cache is None:
        raise AssemblyError("there is no cache whose factors could be found")
    features = classifier.image_features(images.to(classifier.backbone.device))
    without = classifier.logits_from_features(features) - cache(features, None)
    rest = (vendor.to(without.device) - without).double()

    def best(beta: float) -> tuple[float, float]:
        """Sum of squares that is left, and alpha."""
        added = replace(cache, alpha=1.0, beta=beta)(features, None).double()
        alpha = float((added * rest).sum() / (added * added).sum().clamp(min=1e-30))
        return float(((rest - alpha * added) ** 2).sum()), alpha

    errors = [best(beta)[0] for beta in _BETAS]
    nearest = errors.index(min(errors))
    low, high = _BETAS[max(0, nearest - 1)], _BETAS[min(len(_BETAS) - 1, nearest + 1)]
    for _ in range(_NARROWINGS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if best(left)[0] <= best(right)[0] else (left, high)
    beta = (low + high) / 2
    alpha = best(beta)[1]
    if not alpha > 0:
        raise AssemblyError("the vendor's logits are not those of a cache")
    return alpha, beta
