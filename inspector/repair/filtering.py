"""Which answers of a suspected classifier to unlabelled pictures a new prompt may be taught.

A pool that a user did not look through may hold pictures that bear the trigger, and a poisoned
prompt leans to its target where it knows little. Therefore

- what it gives to a suspected class and zero-shot prompts do not is dropped, whatever it is;
- of what zero-shot prompts answer otherwise, the half is kept of which it is surest: where they
  agree two classifiers say so that share no tuning (after co-training, Blum & Mitchell, COLT 1998),
  and a sure answer is more often right (Lee, ICML workshop 2013);
- answers that change in a mild view of the picture (`inspector.repair.views`) are dropped;
- no class has more than MOST_OF_MEDIAN times the pictures of the median one, those first on which
  both agree and then the surest, as pseudo-labels lean to easy classes (Zou et al., ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

MOST_OF_MEDIAN = 2.0


def trusted_rows(
    own: Tensor, zero_shot: Tensor, suspects: Collection[int], is_steady: Tensor
) -> Tensor:
    """Indices (n,) of the pictures whose answers may teach, in their order.

    Args:
        own: the suspected classifier's logits (N, K).
        zero_shot: those of zero-shot prompts (N, K).
        is_steady: whether each answer is the same in mild views of the picture (N,).
    """
    labels, sureness = own.argmax(1), own.softmax(1).amax(1)
    is_agreed = labels == zero_shot.argmax(1)
    is_dropped = ~is_steady
    for suspect in suspects:
        is_dropped |= (labels == suspect) & ~is_agreed
    doubted = ~is_agreed & ~is_dropped
    if doubted.any():
        is_dropped |= doubted & (sureness < sureness[doubted].median())
    rank = sureness + is_agreed  # What is agreed on comes before all that is not.
    return _balanced(labels, rank, (~is_dropped).nonzero()[:, 0])


def _balanced(labels: Tensor, rank: Tensor, rows: Tensor) -> Tensor:
    """Of `rows` (n,) those of highest rank, up to so many a class."""
    counts = labels[rows].bincount()
    if not len(rows):
        return rows
    most = max(1, round(MOST_OF_MEDIAN * counts[counts > 0].float().median().item()))
    kept = []
    for one in counts.nonzero()[:, 0]:
        of_class = rows[labels[rows] == one]
        kept.append(of_class[rank[of_class].argsort(descending=True, stable=True)[:most]])
    return torch.cat(kept).sort().values
