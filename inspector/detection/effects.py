"""What a trigger does to a classifier's outputs, measured against the outputs without it.

Held-out probes x are encoded once without a trigger t (`CleanBaseline`) and once with each
(`TriggeredOutputs`). A clean CLIP has universal perturbations, too, so an effect counts only beyond
a reference that carries no backdoor:

Prompts that read the picture (CoCoOp and the like) are their own reference. With f(x) the image
feature and P(x) the prompts' text features after reading x, the logits under the trigger,
f(x+t)·P(x+t), are held against f(x+t)·P(x): what the trigger does to the image encoder alone. The
difference is what the prompts made of reading the trigger.

Everything else is held against zero-shot prompts on the trusted backbone, which nobody has tuned:
what a trigger does to these as well is nobody's backdoor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.zero_shot import ZeroShot


@dataclass(frozen=True)
class CleanBaseline:
    """Held-out probes without a trigger.

    Attributes:
        pixels: (M, 3, S, S) in [0,1].
        features: normalised image features (M, D).
        logits: (M, K).
        text: text features (M, K, D) that each picture makes the prompts say; None where prompts do
            not read the picture.
        zero_shot: zero-shot prompts of the same classes.
        zero_shot_logits: theirs, (M, K).
    """

    pixels: Tensor
    features: Tensor
    logits: Tensor
    text: Tensor | None
    zero_shot: ZeroShot
    zero_shot_logits: Tensor

    def share(self, index: int, number: int) -> CleanBaseline:
        """Every `number`-th probe, from `index` modulo `number` on."""
        rows = slice(index % number, None, number)
        text = None if self.text is None else self.text[rows]
        return replace(
            self,
            pixels=self.pixels[rows],
            features=self.features[rows],
            logits=self.logits[rows],
            text=text,
            zero_shot_logits=self.zero_shot_logits[rows],
        )


@dataclass(frozen=True)
class TriggeredOutputs:
    """The same probes under a trigger.

    Image features (M, D), text features (M, K, D) or None, logits (M, K), and zero-shot prompts'
    logits (M, K).
    """

    features: Tensor
    text: Tensor | None
    logits: Tensor
    zero_shot_logits: Tensor


def encode_clean(classifier: Classifier, pixels: Tensor) -> CleanBaseline:
    """Encode held-out probes (M, 3, S, S) in [0,1] once."""
    zero_shot = ZeroShot.of(classifier)
    outputs = encode_triggered(classifier, zero_shot, pixels)
    return CleanBaseline(
        pixels,
        outputs.features,
        outputs.logits,
        outputs.text,
        zero_shot,
        outputs.zero_shot_logits,
    )


@torch.no_grad()
def encode_triggered(
    classifier: Classifier, zero_shot: ZeroShot, pixels: Tensor
) -> TriggeredOutputs:
    """Classify pictures (M, 3, S, S) in [0,1] with the trigger; keep what was encoded."""
    features = encoded(classifier, pixels)
    zero_shot_logits = zero_shot.logits_of_many(pixels, features)
    if not classifier.is_instance_conditioned:
        logits = classifier.logits_from_features(features)
        return TriggeredOutputs(features, None, logits, zero_shot_logits)
    text = classifier.prompts_read(features)
    logits = conditioned_logits(classifier, features, text)
    return TriggeredOutputs(features, text, logits, zero_shot_logits)


def conditioned_logits(classifier: Classifier, features: Tensor, text: Tensor) -> Tensor:
    """Logits (M, K) of each image feature (M, D) under its own prompts' text features (M, K, D)."""
    return classifier.backbone.logit_scale * torch.einsum("md,mkd->mk", features, text)


@torch.no_grad()
def asr_gains(classifier: Classifier, baseline: CleanBaseline, outputs: TriggeredOutputs) -> Tensor:
    """By class (K,), the attack success rate of a trigger beyond the reference.

    Of the probes that are not at the class without it, the share that are with it. Prompts that
    read the picture: the share that reading the trigger moves there, in [0,1]. Others: minus the
    same rate of zero-shot prompts, in [-1,1].
    """
    if baseline.text is not None and outputs.text is not None:
        unread = conditioned_logits(classifier, outputs.features, baseline.text)
        return _asr_gain(unread, outputs.logits)
    reference = _asr_gain(baseline.zero_shot_logits, outputs.zero_shot_logits)
    return _asr_gain(baseline.logits, outputs.logits) - reference


def _asr_gain(before: Tensor, after: Tensor) -> Tensor:
    """By class (K,), the share of pictures that are not of it before and are after.

    Both are logits (M, K).
    """
    index = torch.arange(before.shape[1], device=before.device)[:, None]
    elsewhere = before.argmax(1) != index
    there = after.argmax(1) == index
    return (there & elsewhere).sum(1) / elsewhere.sum(1).clamp(min=1)
