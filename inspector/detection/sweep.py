"""One sweep over the classes: screen all of them, invert those that are to be searched.

Screening needs no search: stock triggers are the same for every class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection import random_triggers
from inspector.detection.effects import Effect, Ground, effects_on, gained, look, survey
from inspector.detection.evidence import Found, Inverted, Sweep
from inspector.detection.inversion import SearchConfig, Views, invert, margins, views
from inspector.detection.pools import Pools


@dataclass(frozen=True)
class Start:
    """What is known of untriggered probes before anything is searched."""

    views: Views
    ground: Ground

    @property
    def features(self) -> Tensor:
        """Of all probes that were encoded, (N, D)."""
        return torch.cat([self.views.features, self.ground.features])

    @property
    def logits(self) -> Tensor:
        """Of the same, (N, K)."""
        return torch.cat([self.views.logits, self.ground.logits])

    @property
    def pixels(self) -> Tensor:
        """The same, (N, 3, S, S)."""
        return torch.cat([self.views.pixels[: len(self.views.features)], self.ground.pixels])

    @property
    def leaning(self) -> list[float]:
        """By class (K,), how much more mean probability the same probes give it than zero-shot prompts
        do, in [-1,1]."""
        seen, untuned = self.views.features, self.ground.untuned
        if len(seen):
            pixels = self.views.pixels[: len(seen)]
            untuned = torch.cat([self.ground.zero_shot.logits_of_many(pixels, seen), untuned])
        return gained(untuned, self.logits).tolist()


def begin(classifier: Classifier, pools: Pools, config: SearchConfig) -> Start:
    """Encode the probes that a sweep compares with."""
    probes = views(classifier, pools.optimisation, config.objective)
    return Start(probes, survey(classifier, pools.held_out[: config.judged]))


def screen(
    classifier: Classifier,
    start: Start,
    targets: list[int],
    config: SearchConfig,
    seed: int,
    times: int = 0,
) -> Sweep:
    """A sweep before anything is searched; `times` went before, with seeds one lower each."""
    answered = random_triggers.answers(classifier, start.ground, seed, turn_of(config, times))
    return Sweep(targets, answered, start.leaning, [])


def turn_of(config: SearchConfig, times: int = 0) -> random_triggers.Turn:
    """What the sweep that `times` went before asks of the stock triggers."""
    return random_triggers.Turn(times, config.turns, config.covers)


def search_class(
    classifier: Classifier, start: Start, target: int, config: SearchConfig, seed: int
) -> Found:
    """Fit a trigger on some probes and judge it on others.

    Raises:
        NumericalError: see `invert`.
    """
    trigger = invert(classifier, start.views, target, config, _generator(seed, target))
    return Found(target, *_judged(classifier, start.ground, target, trigger))


def _generator(seed: int, target: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 100_003 + target)


def measure(classifier: Classifier, ground: Ground, target: int, trigger: Tensor) -> Inverted:
    """Judge one trigger on held-out probes."""
    return _judged(classifier, ground, target, trigger)[0]


@torch.no_grad()
def _judged(
    classifier: Classifier, ground: Ground, target: int, trigger: Tensor
) -> tuple[Inverted, list[Effect]]:
    """The trigger by its own class's figures, and what it does to every class."""
    seen = look(classifier, ground.zero_shot, (ground.pixels + trigger).clamp(0, 1))
    effects = effects_on(classifier, ground, seen)
    before, after = margins(ground.logits, target).mean(), margins(seen.logits, target).mean()
    inverted = Inverted(
        trigger=trigger,
        margin=after.item(),
        margin_gain=(after - before).item(),
        asr=_share(seen.logits, target),
        base_asr=_share(ground.logits, target),
        untuned_excess_asr=_share(seen.untuned, target) - _share(ground.untuned, target),
        own=effects[target],
    )
    return inverted, effects


def _share(logits: Tensor, target: int) -> float:
    """Of pictures with logits (M, K), those at the target."""
    return (logits.argmax(1) == target).float().mean().item()
