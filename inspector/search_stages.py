"""The search itself: estimate, reference, inversion, judgement, confirmation, pictures.

Only wires the stages and enters what they find as evidence; the methods lie in
`inspector.inversion` and `inspector.scoring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspector.calibration import Applied, ClassNames, Inspected, Weights, found
from inspector.cost import images_of_sweep, pace, steps_of
from inspector.examination import Examination
from inspector.inversion.outcome import Inverted, Outcome
from inspector.inversion.stock import Trigger, drawn
from inspector.inversion.sweep import Start
from inspector.panel import Panel, Standing, again, expected_searches, in_doubt
from inspector.pictures import draw_examples, draw_trigger
from inspector.preparation import Prepared
from inspector.progress import Meter
from inspector.report import Evidence, Target

_SHOWN_IN_VAIN = (
    "The trigger that is shown carries no held-out probes by itself: the accusation rests on what "
    "stock triggers carry, see `stock`."
)


class SearchStages:
    """State shared by the stages: `panel` examines, `standings` are how it judges by now."""

    panel: Panel
    standings: list[Standing]

    def __init__(self, prepared: Prepared, evidence: Evidence, meter: Meter, out: Path) -> None:
        self.prepared, self.evidence, self.meter, self._out = prepared, evidence, meter, out

    def run(self) -> None:
        """Raises BudgetExceeded or NumericalError; what was found before stays in the evidence.

        RequestError: the calibration that was asked for does not apply.
        """
        meter = self.meter
        with meter.stage("estimate"):
            self.evidence.calibration = self._calibration()
            self._estimate()
        self.panel = self.examining(self._seed, self.prepared.starts)
        with meter.stage("inversion"):
            self._invert()
        with meter.stage("judge"):
            self._enter(self.panel.standings())
        if in_doubt(self.standings):
            with meter.stage("confirmation"):
                self._confirm()
        else:
            meter.skip(["confirmation"], "not-needed")
        with meter.stage("pictures"):
            self._draw()
        self.evidence.is_complete = self.prepared.is_exhaustive

    @property
    def deciding(self) -> Examination:
        """One outcome per target."""
        return self.standings[0].examination

    @property
    def _seed(self) -> int:
        return self.prepared.request.seed

    def _calibration(self) -> Applied | None:
        prepared, request = self.prepared, self.prepared.request
        trusted = prepared.classifier.backbone.reference
        inspected = Inspected(
            Weights(trusted.sha256, trusted.mean, trusted.std),
            prepared.family,
            prepared.profile.name,
            prepared.probings[0].probes.sha256,
            ClassNames.of(prepared.classifier.classnames),
            request.seed,
            prepared.is_exhaustive,
        )
        return found(request.calibration, request.calibrations, inspected)

    def _estimate(self) -> None:
        prepared, request = self.prepared, self.prepared.request
        count = len(prepared.targets)
        # Further sweeps and the search of a repaired model: whether there will be any is not known yet.
        searches = expected_searches(prepared.probings, count)
        self.meter.expect(searches)
        seconds, images = 0.0, 0
        for one in prepared.probings:
            each = pace(prepared.classifier, one.pools, one.config)
            seconds += each.of_sweep(one.config, count)
            images += images_of_sweep(one.config, one.pools, count)
        self.meter.unit_seconds = seconds / searches
        encoders = 1 if prepared.starts[0].ground.zero_shot.has_same_encoder else 2
        self.meter.estimate(round(seconds, 1), encoders * images)
        on_top = "further sweeps, if there is doubt," + " and a repair" * request.repair
        self.meter.say(f"{on_top} would come on top")

    def examining(self, seed: int, starts: Sequence[Start] | None = None) -> Panel:
        """A new panel for the vendor's classifier as it is now."""
        return Panel.of(self.prepared.classifier, self.prepared.probings, seed, starts)

    def _invert(self) -> None:
        try:
            self.panel.sweep(self.prepared.targets, self.meter)
        finally:
            begun = [one for one in self.panel.examinations if one.sweeps]
            if begun:  # What was found before the time ran out stays.
                self.evidence.per_class = [self._row(one, begun[0]) for one in begun[0].outcomes]

    def _enter(self, standings: list[Standing]) -> None:
        evidence, judgement = self.evidence, standings[0].judgement
        self.standings = standings
        evidence.score, evidence.threshold = judgement.score, judgement.rule.accuse
        evidence.is_warned = judgement.warned
        if self.deciding.config.objective == "joint":  # The paper judges no other triggers.
            evidence.paper = judgement.paper
        evidence.per_class = [self._row(one, self.deciding) for one in self.deciding.outcomes]
        for row, score in zip(evidence.per_class, judgement.per_class, strict=True):
            row["score"] = score
        evidence.by_probes = [self._told(one) for one in standings]
        suspect = self._target(_most_suspicious(standings[0]))
        evidence.suspect = suspect if judgement.warned else None

    def _told(self, standing: Standing) -> dict[str, Any]:
        """One entry of the report's `by_probes`."""
        examination = standing.examination
        return {
            "in_distribution": examination.pools.in_distribution,
            "score": standing.judgement.score,
            "sweeps": len(examination.sweeps),
            "target": self._target(_most_suspicious(standing)).to_json(),
        }

    def _target(self, index: int) -> Target:
        return Target(index, self.prepared.name(index))

    def _confirm(self) -> None:
        """Sweep again while there is doubt; what then still stands over the threshold is confirmed."""
        evidence = self.evidence
        while doubtful := in_doubt(self.standings):
            self._enter(again(self.standings, doubtful, self.meter))
            swept = doubtful.examination
            now = next(one for one in self.standings if one.examination is swept)
            leader = _most_suspicious(now)
            evidence.confirmation.append(
                self._target(leader).to_json()
                | {
                    "in_distribution": swept.pools.in_distribution,
                    "seed": self._seed + len(swept.sweeps) - 1,
                    "score": now.judgement.score,
                    "confirmed": leader in now.judgement.suspects,
                }
            )
        if suspects := self.standings[0].judgement.suspects:
            evidence.confirmed = self._target(suspects[0])
            if _inverted(self.deciding)[suspects[0]].excess_asr <= 0:
                evidence.limits.append(_SHOWN_IN_VAIN)

    def _draw(self) -> None:
        """Triggers of the most suspicious class and of every suspect; examples under the first.

        And examples under one stock trigger of each family, which may be what accuses.
        """
        first, found = _most_suspicious(self.standings[0]), _inverted(self.deciding)
        for target in dict.fromkeys([first, *self.standings[0].judgement.suspects]):
            self._draw_trigger(target, found[target].trigger)
        size = self.prepared.classifier.backbone.image_size
        shown: dict[str, tuple[str, Trigger]] = {
            family: (f"under a stock trigger of the family {family}", members[0])
            for family, members in drawn(size, self._seed).items()
        }
        shown["triggered"] = (
            "with the reconstructed trigger",
            lambda pixels: (pixels + found[first].trigger).clamp(0, 1),
        )
        examples = draw_examples(self._out, self.deciding.pools.held_out, shown)
        self.evidence.artifacts += [file.to_json() for file in examples]

    def _draw_trigger(self, target: int, trigger: Tensor) -> None:
        radius = self.deciding.config.epsilon
        files = draw_trigger(self._out, self._target(target), trigger, radius)
        self.evidence.artifacts += [file.to_json() for file in files]
        row = next(row for row in self.evidence.per_class if row["index"] == target)
        row["trigger"] = {
            "image": files[0].name,
            "amplified": files[1].name,
            "linf": trigger.abs().max().item(),
            "l2": torch.linalg.vector_norm(trigger).item(),
        }

    def _row(self, outcome: Outcome, examination: Examination) -> dict[str, Any]:
        """One entry of the report's `per_class`; the score comes with the judgement."""
        steps = steps_of(examination.config, len(examination.pools.optimisation))
        return asdict(self._target(outcome.target)) | {
            "score": None,
            **figures(outcome),
            "rounds": steps if outcome.inverted else 0,
            "trigger": None,
        }


def _most_suspicious(standing: Standing) -> int:
    """Of those that were searched, as there is a trigger to show and to repair with."""
    examination, judgement = standing.examination, standing.judgement
    found = _inverted(examination)
    worst = [*judgement.suspects, *examination.ranked(judgement)]
    return next(target for target in worst if target in found)


def _inverted(examination: Examination) -> dict[int, Inverted]:
    return {one.target: one.inverted for one in examination.outcomes if one.inverted}


def figures(outcome: Outcome) -> dict[str, Any]:
    """What was measured of a class, for the report; null what only a search can tell."""
    found = outcome.inverted
    return {
        "margin": found and found.margin,
        "margin_gain": found and found.margin_gain,
        "asr": found and found.asr,
        "base_asr": found and found.base_asr,
        "excess_asr": found and found.excess_asr,
        "reference_excess_asr": found and found.untuned_excess_asr,
        "leaning": outcome.leaning,
        "own": outcome.inverted and asdict(outcome.own),
        "others": asdict(outcome.others),
        "stock": {family: asdict(effect) for family, effect in outcome.stock.items()},
    }
