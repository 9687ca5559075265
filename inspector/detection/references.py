"""Trusted stand-ins of a delivered classifier, against which it is held.

Two linear twins, each taught what the delivered classifier says of one half of the clean pictures
(`inspector.twins`). A search meets the first twin only, so that what it finds must hold against one
that it has never met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.zero_shot import ZeroShot
from inspector.twins.answers import Answers
from inspector.twins.linear import LinearTwin


@dataclass(frozen=True)
class References:
    """`searched` is met by the search, `unseen` only by what judges it; `trusted` encodes.

    Attributes:
        pixels: the clean pictures (N, 3, S, S) in [0,1] that the twins were taught from.
        encoded: their trusted features (N, D).
        clean: what `searched` says of each (N,).
    """

    trusted: ZeroShot
    searched: LinearTwin
    unseen: LinearTwin
    pixels: Tensor
    encoded: Tensor
    clean: Tensor

    @classmethod
    def of(cls, classifier: Classifier, pixels: Tensor) -> References:
        """Twins of a frozen classifier from clean pictures (N, 3, S, S) in [0,1].

        Raises:
            ValueError: fewer than two pictures.
        """
        trusted = ZeroShot.of(classifier)
        own = encoded(classifier, pixels)
        with torch.no_grad():
            logits = classifier.logits_from_features(own)
        features = own if trusted.has_same_encoder else encoded(trusted, pixels)
        first, second = Answers.of(features, logits).shares(2)
        scale = torch.as_tensor(trusted.backbone.logit_scale, device=features.device)
        searched = LinearTwin.taught(first, second, trusted.text, scale)
        unseen = LinearTwin.taught(second, first, trusted.text, scale)
        clean = searched.logits(features).argmax(1)
        return cls(trusted, searched, unseen, pixels, features, clean)

    def swapped(self) -> References:
        """The same twins in each other's place: another search meets the other one."""
        clean = self.unseen.logits(self.encoded).argmax(1)
        return replace(self, searched=self.unseen, unseen=self.searched, clean=clean)

    @property
    def agreement(self) -> float:
        """Share of clean pictures that a twin was not taught and yet says the same of, the mean."""
        return (self.searched.agreement + self.unseen.agreement) / 2

    def features(self, pixels: Tensor, own: Tensor) -> Tensor:
        """Trusted features (B, D) of pixels in [0,1], of which the classifier made `own` (B, D)."""
        return own if self.trusted.has_same_encoder else self.trusted.image_features(pixels)

    @torch.no_grad()
    def features_of_many(self, pixels: Tensor, own: Tensor) -> Tensor:
        """The same (N, D) of pixels in [0,1] in parts of bounded memory, without gradient."""
        return own if self.trusted.has_same_encoder else encoded(self.trusted, pixels)

    def says(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Classes (N,) that either twin gives trusted features (N, D)."""
        twins = self.searched, self.unseen
        first, second = (twin.logits(features).argmax(1) for twin in twins)
        return first, second
