"""Invert every class and measure what each trigger does on held-out probes.

A trigger is judged by its excess over no trigger: margin gain is the mean margin with it minus the
mean margin without, excess ASR is the share of held-out probes at the target with it minus the
share already there (measured: a clean model sent 53-67 % of untriggered photographs to one class).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.inversion import features, stock
from inspector.inversion.ground import (
    NO_EFFECT,
    Effect,
    Ground,
    Seen,
    effects_on,
    look,
    mean_effect,
    survey,
)
from inspector.inversion.search import ANCHORS, SearchConfig, Views, invert, margins, views


@dataclass(frozen=True)
class Outcome:
    """One class. Margins in logit units, rates in [0,1], `trigger` (3, S, S) in pixel units."""

    target: int
    margin: float
    margin_gain: float
    asr: float
    base_asr: float
    prompt_gain: float
    """The part of the margin gain that the prompt's own response makes: the margin of clean image
    features under prompts that read triggered images, minus under those that read clean ones. The
    image encoder's universal perturbations, which clean models have too, cancel out of it. Zero for
    static prompts."""
    prompt_asr: float
    """Attack success of the prompt's response alone: of the pairs of a clean image feature and a
    reading prompt that are not at the target anyway, the share that is carried there when the
    prompt reads the triggered image. Zero for static prompts."""
    trigger: Tensor
    own: Effect
    """What the trigger found for the class does to it."""
    others: Effect
    """What triggers found for other classes do to it, on average over these: a planted backdoor
    answers whatever is searched for. Nothing where no other class was searched."""
    displaced: float | None = None
    """Share that a displacement of the feature found for the class carries to it, see
    `inspector.inversion.features`; None where none was searched for."""
    stock: dict[str, Effect] = field(default_factory=dict)
    """What the stock triggers of each family do to it, which nobody fitted to it."""

    @property
    def excess_asr(self) -> float:
        return self.asr - self.base_asr

    @property
    def text_shift(self) -> float:
        """How far the trigger found moves the class's text feature, see `Effect.shift`."""
        return self.own.shift

    @property
    def stock_asr(self) -> dict[str, float]:
        """Share of probes that each family wins for the class."""
        return {family: effect.won for family, effect in self.stock.items()}


@dataclass(frozen=True)
class Pools:
    """Disjoint probe pools in [0,1], (N, 3, S, S): triggers are fitted on one, judged on the other."""

    optimisation: Tensor
    held_out: Tensor

    def turned(self, times: int, config: SearchConfig) -> Pools:
        """The same pools with other probes in front, as far as there are others."""
        judged = config.judged or 0
        return Pools(
            self.optimisation.roll(-times * ANCHORS, 0), self.held_out.roll(-times * judged, 0)
        )


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


def begin(classifier: Classifier, pools: Pools, config: SearchConfig) -> Start:
    """Encode the probes that a sweep compares with."""
    probes = views(classifier, pools.optimisation, config.objective)
    return Start(probes, survey(classifier, pools.held_out[: config.judged]))


@dataclass(frozen=True)
class Found:
    """One search: what its trigger does to its own class, and to every class."""

    outcome: Outcome
    effects: list[Effect]


@dataclass(frozen=True)
class Sweep:
    """Searches from one seed, and for every class what the stock triggers drawn from it do."""

    found: list[Found]
    stock: list[dict[str, Effect]]


def sweep(
    classifier: Classifier,
    start: Start,
    targets: Iterable[int],
    config: SearchConfig,
    seed: int,
    times: int = 0,
) -> Sweep:
    """Search `targets` one by one; `times` sweeps went before, with seeds one lower each."""
    answered = stock.answers(classifier, start.ground, seed, (times, config.turns))
    found = [_searched(classifier, start, target, config, seed) for target in targets]
    return Sweep(found, answered)


def pooled(sweeps: Sequence[Sweep]) -> list[Outcome]:
    """One outcome for each target of the first sweep, in its order: means over all searches for it.

    `others` is the mean over all searches for other classes, `stock` over the sweeps; of triggers
    the first one's stands.
    """
    found = [one for each in sweeps for one in each.found]
    return [
        _mean(first.outcome.target, found, [each.stock for each in sweeps])
        for first in sweeps[0].found
    ]


def _mean(target: int, found: list[Found], stocks: list[list[dict[str, Effect]]]) -> Outcome:
    mine = [one.outcome for one in found if one.outcome.target == target]
    elsewhere = [one.effects[target] for one in found if one.outcome.target != target]
    answers = [of_all[target] for of_all in stocks]

    def mean(figure: Callable[[Outcome], float]) -> float:
        return fmean(map(figure, mine))

    return replace(
        mine[0],
        margin=mean(lambda one: one.margin),
        margin_gain=mean(lambda one: one.margin_gain),
        asr=mean(lambda one: one.asr),
        base_asr=mean(lambda one: one.base_asr),
        prompt_gain=mean(lambda one: one.prompt_gain),
        prompt_asr=mean(lambda one: one.prompt_asr),
        displaced=_mean_of_some([one.displaced for one in mine]),
        own=mean_effect([one.own for one in mine]),
        others=mean_effect(elsewhere) if elsewhere else NO_EFFECT,
        stock={family: mean_effect([one[family] for one in answers]) for family in answers[0]},
    )


def _mean_of_some(values: list[float | None]) -> float | None:
    some = [value for value in values if value is not None]
    return fmean(some) if some else None


def _searched(
    classifier: Classifier,
    start: Start,
    target: int,
    config: SearchConfig,
    seed: int,
) -> Found:
    """Fit a trigger on some probes and judge it on others."""
    generator = torch.Generator().manual_seed(seed * 100_003 + target)
    trigger = invert(classifier, start.views, target, config, generator)
    ground = start.ground
    seen = look(classifier, (ground.pixels + trigger).clamp(0, 1))
    effects = effects_on(classifier, ground, seen)
    outcome = _outcome(classifier, ground, seen, target, trigger)
    if config.displaces:
        found = features.displacement(classifier, start.views, target, generator)
        share = features.carried(classifier, ground, target, found)
        outcome = replace(outcome, displaced=share)
    return Found(outcome, effects)


def measure(classifier: Classifier, ground: Ground, target: int, trigger: Tensor) -> Outcome:
    """Judge one trigger on held-out probes."""
    seen = look(classifier, (ground.pixels + trigger).clamp(0, 1))
    return _outcome(classifier, ground, seen, target, trigger)


@torch.no_grad()
def _outcome(
    classifier: Classifier, ground: Ground, seen: Seen, target: int, trigger: Tensor
) -> Outcome:
    before, after = margins(ground.logits, target).mean(), margins(seen.logits, target).mean()
    gain, carried = _response(classifier, ground, seen, target)
    return Outcome(
        target=target,
        margin=after.item(),
        margin_gain=(after - before).item(),
        prompt_gain=gain,
        prompt_asr=carried,
        asr=(seen.logits.argmax(1) == target).float().mean().item(),
        base_asr=(ground.logits.argmax(1) == target).float().mean().item(),
        trigger=trigger,
        own=effects_on(classifier, ground, seen)[target],
        others=NO_EFFECT,
    )


def _response(
    classifier: Classifier, ground: Ground, seen: Seen, target: int
) -> tuple[float, float]:
    """Prompt gain and prompt ASR over all pairs of clean features and readers."""
    if ground.text is None or seen.text is None:
        return 0.0, 0.0
    gain, hits, elsewhere = 0.0, 0, 0
    # Reader by reader: all pairs at once are as many logits as probes squared times classes.
    for clean, triggered in zip(ground.text, seen.text, strict=True):
        before, after = (
            classifier.crossed_logits(ground.features, text[None])[0] for text in (clean, triggered)
        )
        gain += float((margins(after, target) - margins(before, target)).mean())
        is_elsewhere = before.argmax(1) != target
        elsewhere += int(is_elsewhere.sum())
        hits += int(((after.argmax(1) == target) & is_elsewhere).sum())
    return gain / len(ground.text), hits / max(1, elsewhere)
