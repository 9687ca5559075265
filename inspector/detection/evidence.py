"""What sweeps find out about a class, and how several sweeps are pooled.

A trigger is judged by its excess over no trigger: margin gain is the mean margin with it minus the
mean margin without, excess ASR is the share of held-out probes at the target with it minus the
share already there (measured: a clean model sent 53-67 % of untriggered photographs to one class).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, ClassVar

from inspector.detection.effects import NO_EFFECT, Effect, mean_effect
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
        own: the effect on the class itself.
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
    own: Effect

    @property
    def excess_asr(self) -> float:
        """asr - base_asr, in [-1,1]."""
        return self.asr - self.base_asr

    def to_json(self) -> dict[str, float]:
        """Its figures as they stand in the report, but for the effect on its own class."""
        return {
            "margin": self.margin,
            "margin_gain": self.margin_gain,
            "asr": self.asr,
            "base_asr": self.base_asr,
            "excess_asr": self.excess_asr,
            "reference_excess_asr": self.zero_shot_excess_asr,
        }


@dataclass(frozen=True)
class Outcome:
    """What is known of one class.

    Attributes:
        target: the class.
        inverted: None where no trigger was searched for.
        others: mean effect on it of triggers found for other classes, as a planted backdoor answers
            whatever is searched for; nothing where no other class was searched.
        random_triggers: by family, the mean effect of random triggers, which nobody fitted to it.
        clean_prediction_bias: mean probability that untriggered probes give it, minus what
            zero-shot prompts give it, in [-1,1].
    """

    target: int
    inverted: Inverted | None
    others: Effect = NO_EFFECT
    random_triggers: dict[str, Effect] = field(default_factory=dict)
    clean_prediction_bias: float = 0.0

    @property
    def own(self) -> Effect:
        """What the trigger found for the class does to it; nothing where there is none."""
        return self.inverted.own if self.inverted else NO_EFFECT

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report; null what only an inversion can tell."""
        figures = self.inverted.to_json() if self.inverted else dict.fromkeys(Inverted.FIGURES)
        return figures | {
            "clean_prediction_bias": self.clean_prediction_bias,
            "own_trigger": self.own.to_json() if self.inverted else None,
            "other_triggers": self.others.to_json(),
            "random_triggers": {
                family: effect.to_json() for family, effect in self.random_triggers.items()
            },
        }


@dataclass(frozen=True)
class Found:
    """One search: its trigger, and what that does to every class."""

    target: int
    inverted: Inverted
    effects: list[Effect]


@dataclass(frozen=True)
class Sweep:
    """What was measured from one seed.

    Attributes:
        targets: the classes it is about.
        random_triggers: for every class, by family, what random triggers do.
        clean_prediction_bias: for every class what untriggered probes give it
            beyond zero-shot prompts.
        found: inversions, of all targets or of those that lead.
    """

    targets: list[int]
    random_triggers: list[dict[str, Effect]]
    clean_prediction_bias: list[float]
    found: list[Found]


def pooled(sweeps: Sequence[Sweep]) -> list[Outcome]:
    """One outcome for each target of the first sweep, in its order: means over all searches for it.

    `others` is the mean over all searches for other classes, `random_triggers` over the sweeps that
    asked; of triggers the first one's stands.
    """
    return [_mean(target, sweeps) for target in sweeps[0].targets]


def _mean(target: int, sweeps: Sequence[Sweep]) -> Outcome:
    found = [one for each in sweeps for one in each.found]
    mine = [one.inverted for one in found if one.target == target]
    elsewhere = [one.effects[target] for one in found if one.target != target]
    answers = [each.random_triggers[target] for each in sweeps]
    return Outcome(
        target,
        _mean_inverted(mine) if mine else None,
        others=mean_effect(elsewhere) if elsewhere else NO_EFFECT,
        random_triggers={
            family: mean_effect([one[family] for one in answers if family in one])
            for family in answers[-1]
        },
        clean_prediction_bias=fmean(each.clean_prediction_bias[target] for each in sweeps),
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
        zero_shot_excess_asr=mean(lambda one: one.zero_shot_excess_asr),
        own=mean_effect([one.own for one in mine]),
    )
