"""What held-out probes are without a trigger, against which triggered ones are held.

For instance-conditioned prompts the model is its own reference: a triggered picture under the
prompts that read the *untriggered* picture shows what the trigger does to the image encoder alone.
What changes when the prompts read the triggered picture, too, is the prompt's own doing. What does not
read the picture is held against zero-shot prompts on the trusted backbone: what a trigger does to these
as well is nobody's backdoor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.zero_shot import ZeroShot


@dataclass(frozen=True)
class Ground:
    """Held-out probes (M, 3, S, S), their features (M, D), logits (M, K), and for conditioned prompts
    the text features (M, K, D) that they make the prompt say; zero-shot prompts and their logits (M, K)."""

    pixels: Tensor
    features: Tensor
    logits: Tensor
    text: Tensor | None
    zero_shot: ZeroShot
    untuned: Tensor

    def share(self, index: int, number: int) -> Ground:
        """Every `number`-th probe, from `index` modulo `number` on."""
        rows = slice(index % number, None, number)
        text = None if self.text is None else self.text[rows]
        return replace(
            self,
            pixels=self.pixels[rows],
            features=self.features[rows],
            logits=self.logits[rows],
            text=text,
            untuned=self.untuned[rows],
        )


@dataclass(frozen=True)
class Seen:
    """The same probes under a trigger: features (M, D), text features (M, K, D), logits (M, K), and
    zero-shot prompts' logits (M, K)."""

    features: Tensor
    text: Tensor | None
    logits: Tensor
    untuned: Tensor


def survey(classifier: Classifier, pixels: Tensor) -> Ground:
    """Encode held-out probes once."""
    zero_shot = ZeroShot.of(classifier)
    seen = look(classifier, zero_shot, pixels)
    return Ground(pixels, seen.features, seen.logits, seen.text, zero_shot, seen.untuned)


@torch.no_grad()
def look(classifier: Classifier, zero_shot: ZeroShot, pixels: Tensor) -> Seen:
    """Classify pictures and keep what was encoded on the way."""
    features = encoded(classifier, pixels)
    untuned = zero_shot.logits_of_many(pixels, features)
    if not classifier.is_instance_conditioned:
        return Seen(features, None, classifier.logits_from_features(features), untuned)
    text = classifier.prompts_read(features)
    return Seen(features, text, met(classifier, features, text), untuned)


def met(classifier: Classifier, features: Tensor, text: Tensor) -> Tensor:
    """Logits (M, K) of each image feature (M, D) under its own prompts (M, K, D)."""
    return classifier.backbone.logit_scale * torch.einsum("md,mkd->mk", features, text)


@dataclass(frozen=True)
class Effect:
    """What a trigger does to one class, beyond what it does before the prompt has read it; where prompts
    do not read, beyond what it does to zero-shot prompts.

    won: of the probes that are not at the class anyway, the share that are now, in [0,1]; where prompts
        do not read, minus the same share of zero-shot prompts, in [-1,1].
    flow: mean probability of the class now minus before, in [-1,1]; else in [-2,2].
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
        won = _won(ground.logits, seen.logits) - _won(ground.untuned, seen.untuned)
        flow = gained(ground.logits, seen.logits) - gained(ground.untuned, seen.untuned)
        shift = torch.zeros_like(won)
    else:
        unread = met(classifier, seen.features, ground.text)
        won, flow = _won(unread, seen.logits), gained(unread, seen.logits)
        shift = (seen.text - ground.text).norm(dim=-1).mean(0)
    columns = zip(won.tolist(), flow.tolist(), shift.tolist(), strict=True)
    return [Effect(*of_class) for of_class in columns]


def _won(before: Tensor, after: Tensor) -> Tensor:
    """By class (K,), of the pictures that logits (M, K) do not give it before, the share they do after."""
    index = torch.arange(before.shape[1], device=before.device)[:, None]
    elsewhere = before.argmax(1) != index
    there = after.argmax(1) == index
    return (there & elsewhere).sum(1) / elsewhere.sum(1).clamp(min=1)


def gained(before: Tensor, after: Tensor) -> Tensor:
    """By class (K,), how much mean probability `after` gives it beyond `before`, both logits (M, K)."""
    return (after.softmax(1) - before.softmax(1)).mean(0)
