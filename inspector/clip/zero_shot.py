"""Zero-shot prompts for a classifier's classes on the trusted backbone: what nobody has tuned.

Nothing that the vendor delivered is in them but the class names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier, Work


@dataclass(frozen=True)
class ZeroShot:
    """`text` (K, D). Image passes count as `work`, the classifier's own.

    has_same_encoder: whether the classifier's image features are the trusted backbone's.
    """

    backbone: Backbone
    text: Tensor
    work: Work
    has_same_encoder: bool

    @classmethod
    def of(cls, classifier: Classifier) -> ZeroShot:
        """Prompts for the classes of `classifier`, on the backbone that the user trusts."""
        trusted = classifier.backbone.reference
        text = trusted.zero_shot(classifier.classnames)
        return cls(trusted, text, classifier.work, trusted is classifier.backbone)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised image features (B, D) of pixels in [0,1], by the trusted encoder."""
        self.work.image_forward += len(pixels)
        self.work.image_backward += len(pixels) * pixels.requires_grad
        return self.backbone.image_features(pixels)

    def logits(self, pixels: Tensor, features: Tensor) -> Tensor:
        """Logits (B, K) of pixels in [0,1], of which the classifier made `features` (B, D)."""
        return self._met(features if self.has_same_encoder else self.image_features(pixels))

    @torch.no_grad()
    def logits_of_many(self, pixels: Tensor, features: Tensor) -> Tensor:
        """The same (B, K) of pixels in [0,1] without gradient, in parts of bounded memory."""
        return self._met(features if self.has_same_encoder else encoded(self, pixels))

    def _met(self, features: Tensor) -> Tensor:
        return self.backbone.logit_scale * features @ self.text.T
