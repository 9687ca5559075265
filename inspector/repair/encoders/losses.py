"""What strategies of cleaning minimise, on normalised features.

A caption that two pictures share is true of both: then the target is uniform over such pairs (after
UniCL, arXiv 2204.03610), else every term is CLIP's own. The papers' pools of hundreds of thousands
of captions hardly repeat one; a buyer's few hundred do.
"""

from __future__ import annotations

import torch
from torch import Tensor


def same_words(tokens: Tensor) -> Tensor:
    """Which captions (N, L) say the same, as shares of the row, (N, N)."""
    is_same = (tokens[:, None] == tokens[None]).all(2).float()
    return is_same / is_same.sum(1, keepdim=True)


def contrast(left: Tensor, right: Tensor, scale: float, targets: Tensor) -> Tensor:
    """Symmetric cross entropy (scalar) of cosines of features (N, D), each row to its targets.

    Args:
        targets: symmetric shares (N, N); see `same_words`.
    """
    logits = scale * left @ right.T
    rows = -(targets * logits.log_softmax(1)).sum(1).mean()
    columns = -(targets * logits.T.log_softmax(1)).sum(1).mean()
    return (rows + columns) / 2


def push(now: Tensor, before: Tensor, threshold: float) -> Tensor:
    """Mean squared distance (scalar) of features (N, D) from what they were; none beyond.

    The cut is hard, as PAR's is: over the threshold there is neither a value nor a gradient.
    """
    distance = (now - before).pow(2).sum(1).mean()
    return distance * (distance <= threshold)


def forgetting(features: Tensor, classes: Tensor, target: int, scale: float) -> Tensor:
    """-log(1 - p) (scalar) with p what class prompts (K, D) give the target for features (N, D).

    Bounded where unlearning succeeds: p near zero pushes nowhere.
    """
    logits = scale * features @ classes.T
    others = [index for index in range(len(classes)) if index != target]
    return (logits.logsumexp(1) - logits[:, others].logsumexp(1)).mean()


def mean_cosine(left: Tensor, right: Tensor) -> float:
    """Of paired normalised features (N, D)."""
    return float((left * right).sum(1).mean())


def is_sound(loss: Tensor) -> bool:
    """Whether a loss (scalar, any shape) is a number."""
    return bool(torch.isfinite(loss).all())
