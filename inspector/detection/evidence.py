"""What sweeps find out about a class, and how several sweeps are pooled.

A trigger is judged by its excess over no trigger: margin gain is the mean margin with it minus the
mean margin without, excess ASR is the share of held-out probes at the target with it minus the
share already there (measured: a clean model sent 53-67 % of untriggered photographs to one class).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from torch import Tensor

from inspector.detection.effects import NO_EFFECT, Effect, mean_effect


@dataclass(frozen=True)
class Inverted:
    """The trigger found for a class, (3, S, S) in pixel units, and what it does to held-out probes.
    Margins in logit units, rates in [0,1]."""

    trigger: Tensor
    margin: float
    margin_gain: float
    asr: float
    base_asr: float
    untuned_excess_asr: float
    own: Effect
    """What the trigger does to its class. `untuned_excess_asr`: excess ASR on zero-shot prompts."""

    @property
    def excess_asr(self) -> float:
        return self.asr - self.base_asr


@dataclass(frozen=True)
class Outcome:
    """One class. `inverted` is None where no trigger was searched for."""

    target: int
    inverted: Inverted | None
    others: Effect = NO_EFFECT
    """What triggers found for other classes do to it, on average over these: a planted backdoor
    answers whatever is searched for. Nothing where no other class was searched."""
    stock: dict[str, Effect] = field(default_factory=dict)
    """What the stock triggers of each family do to it, which nobody fitted to it."""
    leaning: float = 0.0
    """How much more mean probability untriggered probes give it than zero-shot prompts do, in [-1,1]."""

    @property
    def own(self) -> Effect:
        """What the trigger found for the class does to it; nothing where there is none."""
        return self.inverted.own if self.inverted else NO_EFFECT


@dataclass(frozen=True)
class Found:
    """One search: its trigger, and what that does to every class."""

    target: int
    inverted: Inverted
    effects: list[Effect]


@dataclass(frozen=True)
class Sweep:
    """What was asked from one seed.

    targets: the classes it is about.
    stock: for every class what the stock triggers do.
    leaning: for every class what untriggered probes give it beyond zero-shot prompts.
    found: searches for triggers, of all targets or of those that lead.
    """

    targets: list[int]
    stock: list[dict[str, Effect]]
    leaning: list[float]
    found: list[Found]


def pooled(sweeps: Sequence[Sweep]) -> list[Outcome]:
    """One outcome for each target of the first sweep, in its order: means over all searches for it.

    `others` is the mean over all searches for other classes, `stock` over the sweeps that asked; of
    triggers the first one's stands.
    """
    return [_mean(target, sweeps) for target in sweeps[0].targets]


def _mean(target: int, sweeps: Sequence[Sweep]) -> Outcome:
    found = [one for each in sweeps for one in each.found]
    mine = [one.inverted for one in found if one.target == target]
    elsewhere = [one.effects[target] for one in found if one.target != target]
    answers = [each.stock[target] for each in sweeps]
    return Outcome(
        target,
        _mean_inverted(mine) if mine else None,
        others=mean_effect(elsewhere) if elsewhere else NO_EFFECT,
        stock={
            family: mean_effect([one[family] for one in answers if family in one])
            for family in answers[-1]
        },
        leaning=fmean(each.leaning[target] for each in sweeps),
    )


def _mean_inverted(mine: list[Inverted]) -> Inverted:
    def mean(figure: Callable[[Inverted], float]) -> float:
        return fmean(map(figure, mine))

    return replace(
        mine[0],
        margin=mean(lambda one: one.margin),
        margin_gain=mean(lambda one: one.margin_gain),
        asr=mean(lambda one: one.asr),
        base_asr=mean(lambda one: one.base_asr),
        untuned_excess_asr=mean(lambda one: one.untuned_excess_asr),
        own=mean_effect([one.own for one in mine]),
    )
