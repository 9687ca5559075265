"""One sweep over the classes: screen all of them, invert those that are to be searched.

Screening needs no search in pixels: stock triggers, which are the same for every class, and
displacements of the image feature, which need no image pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.inversion import features, stock
from inspector.inversion.ground import Ground, Seen, effects_on, look, survey
from inspector.inversion.outcome import Found, Inverted, Sweep
from inspector.inversion.search import ANCHORS, SearchConfig, Views, invert, margins, views


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


def screen(
    classifier: Classifier,
    start: Start,
    targets: Iterable[int],
    config: SearchConfig,
    seed: int,
    times: int = 0,
) -> Sweep:
    """A sweep before anything is searched in pixels; `times` went before, with seeds one lower each.

    Raises:
        NumericalError: see `features.displacement`.
    """
    answered = stock.answers(classifier, start.ground, seed, (times, config.turns))
    if not config.displaces:
        return Sweep(list(targets), answered, {}, [])
    carried = {target: _displaced(classifier, start, target, seed) for target in targets}
    return Sweep(list(carried), answered, carried, [])


def search_class(
    classifier: Classifier, start: Start, target: int, config: SearchConfig, seed: int
) -> Found:
    """Fit a trigger on some probes and judge it on others.

    Raises:
        NumericalError: see `invert`.
    """
    trigger = invert(classifier, start.views, target, config, _generator(seed, target))
    ground = start.ground
    seen = look(classifier, (ground.pixels + trigger).clamp(0, 1))
    effects = effects_on(classifier, ground, seen)
    return Found(target, _inverted(classifier, ground, seen, target, trigger), effects)


def _displaced(classifier: Classifier, start: Start, target: int, seed: int) -> float:
    found = features.displacement(classifier, start.views, target, _generator(seed, target))
    return features.carried(classifier, start.ground, target, found)


def _generator(seed: int, target: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 100_003 + target)


def measure(classifier: Classifier, ground: Ground, target: int, trigger: Tensor) -> Inverted:
    """Judge one trigger on held-out probes."""
    seen = look(classifier, (ground.pixels + trigger).clamp(0, 1))
    return _inverted(classifier, ground, seen, target, trigger)


@torch.no_grad()
def _inverted(
    classifier: Classifier, ground: Ground, seen: Seen, target: int, trigger: Tensor
) -> Inverted:
    before, after = margins(ground.logits, target).mean(), margins(seen.logits, target).mean()
    gain, carried = _response(classifier, ground, seen, target)
    return Inverted(
        trigger=trigger,
        margin=after.item(),
        margin_gain=(after - before).item(),
        prompt_gain=gain,
        prompt_asr=carried,
        asr=(seen.logits.argmax(1) == target).float().mean().item(),
        base_asr=(ground.logits.argmax(1) == target).float().mean().item(),
        own=effects_on(classifier, ground, seen)[target],
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
