"""Invert every class and measure what each trigger does on held-out probes.

A trigger is judged by its excess over no trigger: margin gain is the mean margin with it minus the
mean margin without, excess ASR is the share of held-out probes at the target with it minus the
share already there (measured: a clean model sent 53-67 % of untriggered photographs to one class).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.inversion.search import SearchConfig, invert, margins


@dataclass(frozen=True)
class Outcome:
    """One class. Margins in logit units, rates in [0,1], `trigger` (3, H, W) in pixel units."""

    target: int
    margin: float
    margin_gain: float
    asr: float
    base_asr: float
    text_shift: float
    """Mean distance between the target's text feature with and without the trigger."""
    trigger: Tensor

    @property
    def excess_asr(self) -> float:
        return self.asr - self.base_asr


@dataclass(frozen=True)
class Pools:
    """Disjoint probe pools in [0,1], (N, 3, S, S): triggers are fitted on one, judged on the other."""

    optimisation: Tensor
    held_out: Tensor


Announce = Callable[[int], None]


def sweep(
    classifier: Classifier,
    pools: Pools,
    targets: Iterable[int],
    config: SearchConfig,
    seed: int,
    announce: Announce = lambda done: None,
) -> list[Outcome]:
    """One `Outcome` per target; `announce(done)` after each."""
    outcomes = []
    with torch.no_grad():
        clean = classifier(pools.held_out)
    for target in targets:
        generator = torch.Generator().manual_seed(seed * 100_003 + target)
        trigger = invert(classifier, pools.optimisation, target, config, generator)
        outcomes.append(measure(classifier, pools.held_out, clean, target, trigger))
        announce(len(outcomes))
    return outcomes


@torch.no_grad()
def measure(
    classifier: Classifier, held_out: Tensor, clean: Tensor, target: int, trigger: Tensor
) -> Outcome:
    """Judge one trigger on held-out probes whose clean logits (N, K) are given."""
    pixels = (held_out + trigger).clamp(0, 1)
    logits = classifier(pixels)
    before, after = margins(clean, target).mean(), margins(logits, target).mean()
    return Outcome(
        target=target,
        margin=after.item(),
        margin_gain=(after - before).item(),
        asr=(logits.argmax(1) == target).float().mean().item(),
        base_asr=(clean.argmax(1) == target).float().mean().item(),
        text_shift=_text_shift(classifier, held_out, pixels, target),
        trigger=trigger,
    )


def _text_shift(classifier: Classifier, clean: Tensor, triggered: Tensor, target: int) -> float:
    if not classifier.is_instance_conditioned:
        return 0.0
    index = torch.tensor([target], device=clean.device)
    before = classifier.text_features(classifier.image_features(clean), index)
    after = classifier.text_features(classifier.image_features(triggered), index)
    return (after - before).norm(dim=-1).mean().item()
