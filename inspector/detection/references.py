"""Trusted classifiers of the same classes, against which a delivered one is held.

Zero-shot prompts, which nobody has tuned, and two linear twins, each taught what the delivered
classifier says of one half of the clean pictures (`inspector.twins`). A search meets the first twin
only, so that what it finds must hold against one that it has never met.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.zero_shot import ZeroShot
from inspector.detection.objectives import margins
from inspector.twins.answers import Answers
from inspector.twins.linear import LinearTwin


@dataclass(frozen=True)
class References:
    """`searched` is met by the search, `unseen` only by what judges it."""

    zero_shot: ZeroShot
    searched: LinearTwin
    unseen: LinearTwin

    @classmethod
    def of(cls, classifier: Classifier, pixels: Tensor) -> References:
        """Twins of a frozen classifier from clean pictures (N, 3, S, S) in [0,1].

        Raises:
            ValueError: fewer than two pictures.
        """
        zero_shot = ZeroShot.of(classifier)
        features = encoded(classifier, pixels)
        with torch.no_grad():
            logits = classifier.logits_from_features(features)
        trusted = features if zero_shot.has_same_encoder else encoded(zero_shot, pixels)
        first, second = Answers.of(trusted, logits).shares(2)
        scale = torch.as_tensor(zero_shot.backbone.logit_scale, device=features.device)
        return cls(
            zero_shot,
            LinearTwin.taught(first, second, zero_shot.text, scale),
            LinearTwin.taught(second, first, zero_shot.text, scale),
        )

    @property
    def agreement(self) -> float:
        """Share of clean pictures that a twin was not taught and yet says the same of, the mean."""
        return (self.searched.agreement + self.unseen.agreement) / 2

    def features(self, pixels: Tensor, own: Tensor) -> Tensor:
        """Trusted features (B, D) of pixels in [0,1], of which the classifier made `own` (B, D)."""
        return own if self.zero_shot.has_same_encoder else self.zero_shot.image_features(pixels)

    def logits(self, features: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, K) by every reference for trusted features (B, D)."""
        return (*self._met(features), self.unseen.logits(features))

    def margin(self, features: Tensor, target: int) -> Tensor:
        """The largest margin (B,) toward the target of the references that a search meets."""
        met = [margins(logits, target) for logits in self._met(features)]
        return torch.stack(met).amax(0)

    def _met(self, features: Tensor) -> tuple[Tensor, Tensor]:
        text, scale = self.zero_shot.text, self.zero_shot.backbone.logit_scale
        return scale * features @ text.T, self.searched.logits(features)
