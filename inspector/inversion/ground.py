"""What held-out probes are without a trigger, against which triggered ones are held.

For instance-conditioned prompts the model is its own reference: a triggered picture under the
prompts that read the *untriggered* picture shows what the trigger does to the image encoder alone.
What changes when the prompts read the triggered picture, too, is the prompt's own doing. A static
prompt reads nothing; what changes there is what the trigger does to the untriggered prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier


@dataclass(frozen=True)
class Ground:
    """Held-out probes (M, 3, S, S), their features (M, D), logits (M, K), and for conditioned prompts
    the text features (M, K, D) that they make the prompt say."""

    pixels: Tensor
    features: Tensor
    logits: Tensor
    text: Tensor | None

    def share(self, index: int, number: int) -> Ground:
        """Every `number`-th probe, from `index` modulo `number` on."""
        rows = slice(index % number, None, number)
        text = None if self.text is None else self.text[rows]
        return Ground(self.pixels[rows], self.features[rows], self.logits[rows], text)


@dataclass(frozen=True)
class Seen:
    """The same probes under a trigger: features (M, D), text features (M, K, D), logits (M, K)."""

    features: Tensor
    text: Tensor | None
    logits: Tensor


def survey(classifier: Classifier, pixels: Tensor) -> Ground:
    """Encode held-out probes once."""
    seen = look(classifier, pixels)
    return Ground(pixels, seen.features, seen.logits, seen.text)


@torch.no_grad()
def look(classifier: Classifier, pixels: Tensor) -> Seen:
    """Classify pictures and keep what was encoded on the way."""
    features = encoded(classifier, pixels)
    if not classifier.is_instance_conditioned:
        return Seen(features, None, classifier.logits_from_features(features))
    text = classifier.prompts_read(features)
    return Seen(features, text, met(classifier, features, text))


def met(classifier: Classifier, features: Tensor, text: Tensor) -> Tensor:
    """Logits (M, K) of each image feature (M, D) under its own prompts (M, K, D)."""
    return classifier.backbone.logit_scale * torch.einsum("md,mkd->mk", features, text)


@dataclass(frozen=True)
class Effect:
    """What a trigger does to one class, beyond what it does before the prompt has read it.

    won: of the probes that are not at the class anyway, the share that are now, in [0,1].
    flow: mean probability of the class now minus before, in [-1,1].
    shift: mean distance by which the class's text feature moves on the unit sphere, in [0,2]; 0 for
        static prompts.
    """

    won: float
    flow: float
    shift: float


NO_EFFECT = Effect(0.0, 0.0, 0.0)


def mean_effect(effects: Sequence[Effect]) -> Effect:
    columns = zip(*(astuple(effect) for effect in effects), strict=True)
    return Effect(*(sum(column) / len(effects) for column in columns))


@torch.no_grad()
def effects_on(classifier: Classifier, ground: Ground, seen: Seen) -> list[Effect]:
    """One `Effect` for every class."""
    if ground.text is None or seen.text is None:
        unread, shift = ground.logits, torch.zeros(ground.logits.shape[1])
    else:
        unread = met(classifier, seen.features, ground.text)
        shift = (seen.text - ground.text).norm(dim=-1).mean(0)
    before, after = unread.argmax(1), seen.logits.argmax(1)
    index = torch.arange(unread.shape[1], device=before.device)[:, None]
    elsewhere = before != index
    won = ((after == index) & elsewhere).sum(1) / elsewhere.sum(1).clamp(min=1)
    flow = (seen.logits.softmax(1) - unread.softmax(1)).mean(0)
    columns = zip(won.tolist(), flow.tolist(), shift.tolist(), strict=True)
    return [Effect(*of_class) for of_class in columns]
