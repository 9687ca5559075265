"""What an inversion maximises over the trigger t, on average over probes x.

Logits are z, the target k.

joint       z_k - max_{j≠k} z_j under x + t: the published objective (CLIP-Inspector, arXiv
            2604.09101). Universal perturbations of the image encoder satisfy it on clean models,
            too.
prompt      ours, for prompts that read the picture: the margin of *untriggered* anchors under the
            prompts that read x + t. The image features stay clean, so that only what the prompt
            itself was taught is found. Repair draws on it.

An objective is prepared once for its probes, and asked for its loss on batches of them.
Margins are in logit units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.profiles import ObjectiveName

ANCHORS = 64
"""Untriggered probes that are classified under the prompts of triggered ones."""
RIVALS = 4
"""Classes beside the target whose prompts are encoded with gradient, the anchors' nearest."""


@dataclass(frozen=True)
class Anchors:
    """Untriggered probes (A, 3, S, S) in [0,1], their features (A, D) and logits (A, K)."""

    pixels: Tensor
    features: Tensor
    logits: Tensor

    @cached_property
    def nearest(self) -> Tensor:
        """Classes (K,), those first that the anchors are most likely of."""
        return self.logits.softmax(1).mean(0).argsort(descending=True)


@dataclass(frozen=True)
class Objective(ABC):
    """`pixels` are the probes (N, 3, S, S) in [0,1] that triggers are fitted on."""

    classifier: Classifier
    pixels: Tensor

    @classmethod
    @abstractmethod
    def prepare(cls, classifier: Classifier, pixels: Tensor) -> Self:
        """Encode what the loss needs to know of the untriggered probes (N, 3, S, S) in [0,1]."""

    @abstractmethod
    def loss(self, triggered: Tensor, target: int) -> Tensor:
        """What is minimised, on pictures (B, 3, S, S) in [0,1] with the trigger."""


class JointMargin(Objective):
    """The joint margin of image and prompt."""

    @classmethod
    def prepare(cls, classifier: Classifier, pixels: Tensor) -> Self:
        """Nothing of the untriggered probes (N, 3, S, S) in [0,1] is needed."""
        return cls(classifier, pixels)

    def loss(self, triggered: Tensor, target: int) -> Tensor:
        """-mean of z_t - max z_k over k ≠ t, in logits, of pictures (B, 3, S, S) in [0,1]."""
        features = self.classifier.image_features(triggered)
        return -own_margins(self.classifier, features, target).mean()


@dataclass(frozen=True)
class PromptMargin(Objective):
    """The margin of untriggered anchors under prompts that read the triggered picture.

    All anchors meet all triggered pictures' prompts, so that a few triggered pictures suffice; only
    classes that the anchors are near to stand as rivals.
    """

    anchors: Anchors

    @classmethod
    def prepare(cls, classifier: Classifier, pixels: Tensor) -> Self:
        """Encode the first `ANCHORS` of the probes (N, 3, S, S) in [0,1] as anchors."""
        few = pixels[:ANCHORS]
        features = encoded(classifier, few)
        with torch.no_grad():
            anchors = Anchors(few, features, classifier.logits_from_features(features))
        return cls(classifier, pixels, anchors)

    def loss(self, triggered: Tensor, target: int) -> Tensor:
        """-mean margin of the anchors, in logits, under prompts that read (B, 3, S, S) in [0,1]."""
        return -self.margin(self.classifier.image_features(triggered), target)

    def margin(self, read: Tensor, target: int) -> Tensor:
        """Mean margin of the anchors under prompts that read `read` (B, D), against near rivals."""
        rivals = self.anchors.nearest[self.anchors.nearest != target][:RIVALS]
        classes = torch.cat([rivals.new_tensor([target]), rivals])
        text = self.classifier.text_features(read, classes)
        logits = self.classifier.crossed_logits(self.anchors.features, text)
        return margins(logits.flatten(0, 1), 0).mean()


OBJECTIVES: dict[ObjectiveName, type[Objective]] = {
    "joint": JointMargin,
    "prompt": PromptMargin,
}


def margins(logits: Tensor, target: int | Tensor) -> Tensor:
    """z_k - max_{j≠k} z_j for each row of logits (B, K), in logit units; with one class z_k itself.

    Args:
        target: k, one for all rows or one a row (B,).
    """
    index = torch.as_tensor(target, device=logits.device).expand(len(logits))[:, None]
    own = logits.gather(1, index)[:, 0]
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, index, float("-inf")).amax(1)


def own_margins(classifier: Classifier, features: Tensor, target: int) -> Tensor:
    """Margins (B,) of features (B, D), which conditioned prompts read, too; with exact gradient.

    Conditioned: the rival of each image is found without gradient over all classes; only the
    prompts of target and rival are encoded again with gradient. The margin's gradient involves
    no other class, so this is exact and costs K forward and 2 forward-backward prompts an
    image instead of K of both.
    """
    if not classifier.is_instance_conditioned or len(classifier.classnames) <= 2:
        return margins(classifier.logits_from_features(features), target)
    with torch.no_grad():
        logits = classifier.logits_from_features(features)
        logits[:, target] = float("-inf")
        rival = logits.argmax(1)
    pair = torch.stack([torch.full_like(rival, target), rival], 1)  # (B, 2)
    own, other = classifier.logits_from_features(features, pair).unbind(1)
    return own - other
