"""What a trigger does to held-out probes, beside what it does to zero-shot prompts.

A trigger is judged by its excess over no trigger: margin gain is the mean margin with it minus the
mean margin without, excess ASR is the share of held-out probes at the target with it minus the
share already there (measured: a clean model sent 53-67 % of untriggered photographs to one class).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection.effects import CleanBaseline, encode_triggered
from inspector.detection.objectives import margins
from inspector.detection.triggers import Trigger


@dataclass(frozen=True)
class Inverted:
    """The trigger found for a class by inversion, and what it does to held-out probes.

    Attributes:
        trigger: as it was found.
        margin: mean of z_target - max over the other classes z_k with the trigger, in logit units.
        margin_gain: the same minus without.
        asr: share of probes at the target with the trigger, in [0,1].
        base_asr: the same without.
        zero_shot_excess_asr: asr - base_asr of zero-shot prompts on the
            trusted backbone, in [-1,1].
    """

    FIGURES: ClassVar = (
        "margin", "margin_gain", "asr", "base_asr", "excess_asr", "reference_excess_asr",
    )  # fmt: skip
    """As the report names them."""
    trigger: Trigger
    margin: float
    margin_gain: float
    asr: float
    base_asr: float
    zero_shot_excess_asr: float

    @property
    def excess_asr(self) -> float:
        """asr - base_asr, in [-1,1]."""
        return self.asr - self.base_asr

    def to_json(self) -> dict[str, float]:
        """Its figures as they stand in the report."""
        return {
            "margin": self.margin,
            "margin_gain": self.margin_gain,
            "asr": self.asr,
            "base_asr": self.base_asr,
            "excess_asr": self.excess_asr,
            "reference_excess_asr": self.zero_shot_excess_asr,
        }


@torch.no_grad()
def measure(
    classifier: Classifier, baseline: CleanBaseline, target: int, trigger: Trigger
) -> Inverted:
    """Judge one trigger on held-out probes."""
    outputs = encode_triggered(classifier, baseline.zero_shot, trigger(baseline.pixels))
    before, after = margins(baseline.logits, target).mean(), margins(outputs.logits, target).mean()
    zero_shot = (outputs.zero_shot_logits, baseline.zero_shot_logits)
    with_trigger, without = (_share(logits, target) for logits in zero_shot)
    return Inverted(
        trigger=trigger,
        margin=after.item(),
        margin_gain=(after - before).item(),
        asr=_share(outputs.logits, target),
        base_asr=_share(baseline.logits, target),
        zero_shot_excess_asr=with_trigger - without,
    )


def _share(logits: Tensor, target: int) -> float:
    """Of pictures with logits (M, K), those at the target."""
    return (logits.argmax(1) == target).float().mean().item()
