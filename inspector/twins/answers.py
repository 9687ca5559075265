"""What a delivered classifier says of unlabelled pictures: all that a twin is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """Pictures by their features, and a class for each.

    Attributes:
        features: normalised image features (N, D) by the trusted encoder.
        labels: class indices (N,), the delivered classifier's or true ones.
    """

    features: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.features) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels for {len(self.features)} features")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, features: Tensor, logits: Tensor) -> Answers:
        """The classes of logits (N, K) for features (N, D); how sure they are is not told.

        Followers that were taught how sure it is learned the backdoor, too (experiment 45).
        """
        return cls(features, logits.argmax(1))

    def chosen(self, rows: Tensor) -> Answers:
        """Those of a mask (N,) or of indices."""
        return Answers(self.features[rows], self.labels[rows])

    def shares(self, number: int) -> Sequence[Answers]:
        """So many disjoint shares, every `number`-th picture each."""
        rows = torch.arange(len(self), device=self.labels.device)
        return [self.chosen(rows[index::number]) for index in range(number)]
