"""Invert every class and measure what each trigger does on held-out probes.

A trigger is judged by its excess over no trigger: margin gain is the mean margin with it minus the
mean margin without, excess ASR is the share of held-out probes at the target with it minus the
share already there (measured: a clean model sent 53-67 % of untriggered photographs to one class).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.inversion import stock
from inspector.inversion.search import SearchConfig, Views, invert, margins, view


@dataclass(frozen=True)
class Outcome:
    """One class. Margins in logit units, rates in [0,1], `trigger` (3, H, W) in pixel units."""

    target: int
    margin: float
    margin_gain: float
    asr: float
    base_asr: float
    prompt_gain: float
    """The part of the margin gain that the prompt's own response makes: the margin of clean image
    features under prompts conditioned on the triggered image, minus the clean margin. The image
    encoder's universal perturbations, which clean models have too, cancel out of it. Zero for
    static prompts."""
    prompt_asr: float
    """Attack success of the prompt's response alone: of the held-out probes that are not at the
    target anyway, the share that it carries there. Zero for static prompts."""
    text_shift: float
    """How far the trigger moves the target's text feature on the unit sphere, mean distance over
    held-out probes in [0,2]. Zero for static prompts."""
    trigger: Tensor
    stock_asr: dict[str, float] = field(default_factory=dict)
    """Attack success of the stock triggers of each family, which nobody fitted to this class: of the
    held-out probes that are not at the target anyway, the share that they carry there."""

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
    probes, held_out = view(classifier, pools.optimisation), view(classifier, pools.held_out)
    with torch.no_grad():
        clean = classifier.logits_from_features(held_out.features)
    answered = stock.answers(classifier, held_out, clean, seed)
    for target in targets:
        generator = torch.Generator().manual_seed(seed * 100_003 + target)
        trigger = invert(classifier, probes, target, config, generator)
        outcome = measure(classifier, held_out, clean, target, trigger)
        outcomes.append(replace(outcome, stock_asr=answered[target]))
        announce(len(outcomes))
    return outcomes


@torch.no_grad()
def measure(
    classifier: Classifier, held_out: Views, clean: Tensor, target: int, trigger: Tensor
) -> Outcome:
    """Judge one trigger on held-out probes whose clean logits (N, K) are given."""
    features = classifier.image_features((held_out.pixels + trigger).clamp(0, 1))
    logits = classifier.logits_from_features(features)
    before, after = margins(clean, target).mean(), margins(logits, target).mean()
    gain, carried, shift = 0.0, 0.0, 0.0
    if classifier.is_instance_conditioned:
        gain, carried = _response(classifier, held_out, clean, target, features)
        shift = _text_shift(classifier, held_out.features, features, target)
    return Outcome(
        target=target,
        margin=after.item(),
        margin_gain=(after - before).item(),
        prompt_gain=gain,
        prompt_asr=carried,
        text_shift=shift,
        asr=(logits.argmax(1) == target).float().mean().item(),
        base_asr=(clean.argmax(1) == target).float().mean().item(),
        trigger=trigger,
    )


def _response(
    classifier: Classifier, held_out: Views, clean: Tensor, target: int, triggered: Tensor
) -> tuple[float, float]:
    """Prompt gain and prompt ASR; clean logits (N, K), triggered image features (N, D)."""
    moved = classifier.logits_from_features(held_out.features, condition=triggered)
    elsewhere = clean.argmax(1) != target
    hits = (moved.argmax(1) == target) & elsewhere
    gain = (margins(moved, target) - margins(clean, target)).mean().item()
    return gain, (hits.sum() / elsewhere.sum().clamp(min=1)).item()


def _text_shift(classifier: Classifier, clean: Tensor, triggered: Tensor, target: int) -> float:
    """Mean distance of the target's text feature between image features (N, D) and triggered ones."""
    only = torch.tensor([target], device=clean.device)
    moved = [
        classifier.text_features(after, only) - classifier.text_features(before, only)
        for before, after in zip(clean.split(64), triggered.split(64), strict=True)
    ]
    return float(torch.cat(moved).norm(dim=-1).mean())
