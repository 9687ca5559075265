"""What a trigger does to a delivered classifier beyond all its references.

With gain_k(f) the share of held-out probes that are not at class k without the trigger and are with
it,

    excess_k = gain_k(delivered) - max_r gain_k(r)            in [-1, 1]

over references r, of which a universal perturbation of the backbone leaves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.detection.references import References
from inspector.detection.spaces import Member, TriggerSpace


@dataclass(frozen=True)
class HeldOut:
    """Held-out probes (M, 3, S, S) in [0,1], and what everybody says of them untriggered.

    own (M, K) by the delivered classifier, others each (M, K) by its references.
    """

    classifier: Classifier
    references: References
    pixels: Tensor
    own: Tensor
    others: tuple[Tensor, ...]

    @classmethod
    def of(cls, classifier: Classifier, references: References, pixels: Tensor) -> HeldOut:
        """Encode the probes (M, 3, S, S) in [0,1] once."""
        return cls(classifier, references, pixels, *_said(classifier, references, pixels))

    def excess(self, space: TriggerSpace, member: Member) -> Excess:
        """What one trigger does to every class."""
        pixels = space.apply(member, self.pixels)
        own, others = _said(self.classifier, self.references, pixels)
        by_others = [asr_gain(*pair) for pair in zip(self.others, others, strict=True)]
        return Excess(asr_gain(self.own, own), torch.stack(by_others).amax(0))


@dataclass(frozen=True)
class Excess:
    """By class (K,), the success of a trigger and the largest among the references."""

    own: Tensor
    others: Tensor

    @property
    def value(self) -> Tensor:
        """own - others (K,), in [-1,1]."""
        return self.own - self.others


def asr_gain(before: Tensor, after: Tensor) -> Tensor:
    """By class (K,), the share of pictures that are not of it before and are after.

    Both are logits (M, K).
    """
    index = torch.arange(before.shape[1], device=before.device)[:, None]
    elsewhere = before.argmax(1) != index
    there = after.argmax(1) == index
    return (there & elsewhere).sum(1) / elsewhere.sum(1).clamp(min=1)


@torch.no_grad()
def _said(
    classifier: Classifier, references: References, pixels: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    features = encoded(classifier, pixels)
    same = references.zero_shot.has_same_encoder
    trusted = features if same else encoded(references.zero_shot, pixels)
    return classifier.logits_from_features(features), references.logits(trusted)
