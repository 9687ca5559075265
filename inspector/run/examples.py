"""Example pictures for the report: which held-out probes are shown, and what the model answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.detection.triggers import Trigger
from inspector.report import Target

EXAMPLES = 3
LOOKED_AT = 16
"""Held-out probes among which examples are chosen."""


@torch.no_grad()
def chosen(classifier: Classifier, held_out: Tensor, target: int) -> Tensor:
    """The first EXAMPLES of held-out probes (M, 3, S, S) in [0,1] that are not of the class.

    A picture that is there already shows nothing. Where there are too few, others follow.
    """
    looked_at = held_out[:LOOKED_AT]
    said = classifier.logits_from_features(encoded(classifier, looked_at)).argmax(1)
    is_there = (said == target).to(torch.int8)
    return looked_at[is_there.argsort(stable=True)[:EXAMPLES]]


@torch.no_grad()
def answers(classifier: Classifier, pixels: Tensor, trigger: Trigger) -> list[dict[str, Any]]:
    """The report's `examples`: answers to pictures (N, 3, S, S) in [0,1], and with the trigger."""
    pairs = zip(_said(classifier, pixels), _said(classifier, trigger(pixels)), strict=True)
    return [
        {"index": index, "clean": clean, "triggered": triggered}
        for index, (clean, triggered) in enumerate(pairs)
    ]


def _said(classifier: Classifier, pixels: Tensor) -> list[dict[str, Any]]:
    shares = classifier.logits_from_features(encoded(classifier, pixels)).softmax(1)
    best = shares.max(1)
    return [
        Target(index, classifier.classnames[index]).to_json() | {"probability": share}
        for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
