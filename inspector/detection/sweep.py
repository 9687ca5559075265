"""One sweep over the classes: screen all by random triggers, then invert those that are wanted.

Screening needs no search: random triggers are the same for every class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection import random_triggers
from inspector.detection.effects import (
    CleanBaseline,
    Effect,
    effects_on,
    encode_clean,
    encode_triggered,
    mean_prob_gain,
)
from inspector.detection.evidence import Found, Inverted, Sweep
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.objectives import Anchors, Objective, margins
from inspector.detection.pools import Pools
from inspector.detection.seeds import derive_seed
from inspector.detection.triggers import Added, Trigger


@dataclass(frozen=True)
class CleanProbes:
    """What is known of untriggered probes before anything is searched.

    Attributes:
        objective: prepared on the optimisation pool.
        baseline: the held-out pool, encoded.
        clean_prediction_bias: by class (K,), mean probability that these probes are given minus
            what zero-shot prompts give them, in [-1,1].
    """

    objective: Objective
    baseline: CleanBaseline
    clean_prediction_bias: list[float]

    @property
    def features(self) -> Tensor:
        """Of all probes that were encoded, (N, D)."""
        anchors = self.objective.encoded_anchors()
        return _joined(anchors.features if anchors else None, self.baseline.features)

    @property
    def logits(self) -> Tensor:
        """Of the same, (N, K)."""
        anchors = self.objective.encoded_anchors()
        return _joined(anchors.logits if anchors else None, self.baseline.logits)

    @property
    def pixels(self) -> Tensor:
        """The same, (N, 3, S, S)."""
        anchors = self.objective.encoded_anchors()
        return _joined(anchors.pixels if anchors else None, self.baseline.pixels)


def _joined(first: Tensor | None, second: Tensor) -> Tensor:
    return second if first is None else torch.cat([first, second])


def encode_probes(classifier: Classifier, pools: Pools, config: SearchConfig) -> CleanProbes:
    """Encode the probes that a sweep compares with."""
    objective = prepare(classifier, pools.optimisation, config.objective)
    baseline = encode_clean(classifier, pools.held_out[: config.num_eval])
    return CleanProbes(objective, baseline, _bias(objective.encoded_anchors(), baseline))


@torch.no_grad()
def _bias(anchors: Anchors | None, baseline: CleanBaseline) -> list[float]:
    own, reference = baseline.logits, baseline.zero_shot_logits
    if anchors is not None:
        own = torch.cat([anchors.logits, own])
        more = baseline.zero_shot.logits_of_many(anchors.pixels, anchors.features)
        reference = torch.cat([more, reference])
    return mean_prob_gain(reference, own).tolist()


def screen(
    classifier: Classifier,
    clean: CleanProbes,
    targets: list[int],
    config: SearchConfig,
    seed: int,
    sweep: int = 0,
) -> Sweep:
    """A sweep before anything is inverted; `sweep` counts those before, with lower seeds."""
    split = split_of(config, sweep)
    answered = random_triggers.effects_by_class(classifier, clean.baseline, seed, split)
    return Sweep(targets, answered, clean.clean_prediction_bias, [])


def split_of(config: SearchConfig, sweep: int = 0) -> random_triggers.TriggerSplit:
    """Which random triggers the sweep of that number, from 0, asks."""
    return random_triggers.TriggerSplit(sweep, config.trigger_splits, config.local_first)


def search_class(
    classifier: Classifier, clean: CleanProbes, target: int, config: SearchConfig, seed: int
) -> Found:
    """Fit a trigger on some probes and judge it on others.

    Raises:
        NumericalError: see `invert`.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "inversion", target))
    trigger = invert(clean.objective, target, config, generator)
    return Found(target, *_evaluated(classifier, clean.baseline, target, Added(trigger)))


def measure(
    classifier: Classifier, baseline: CleanBaseline, target: int, trigger: Trigger
) -> Inverted:
    """Judge one trigger on held-out probes."""
    return _evaluated(classifier, baseline, target, trigger)[0]


@torch.no_grad()
def _evaluated(
    classifier: Classifier, baseline: CleanBaseline, target: int, trigger: Trigger
) -> tuple[Inverted, list[Effect]]:
    """The trigger by its own class's figures, and what it does to every class."""
    outputs = encode_triggered(classifier, baseline.zero_shot, trigger(baseline.pixels))
    effects = effects_on(classifier, baseline, outputs)
    before, after = margins(baseline.logits, target).mean(), margins(outputs.logits, target).mean()
    zero_shot = (outputs.zero_shot_logits, baseline.zero_shot_logits)
    with_trigger, without = (_share(logits, target) for logits in zero_shot)
    inverted = Inverted(
        trigger=trigger,
        margin=after.item(),
        margin_gain=(after - before).item(),
        asr=_share(outputs.logits, target),
        base_asr=_share(baseline.logits, target),
        zero_shot_excess_asr=with_trigger - without,
        own=effects[target],
    )
    return inverted, effects


def _share(logits: Tensor, target: int) -> float:
    """Of pictures with logits (M, K), those at the target."""
    return (logits.argmax(1) == target).float().mean().item()
