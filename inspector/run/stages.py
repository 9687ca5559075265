"""The search itself: estimate, reference, inversion, judgement, confirmation, pictures.

Only wires the stages and enters what they find as evidence; the methods lie
in `inspector.detection`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from inspector.calibration import Applied, ClassNames, Inspected, Probes, Weights, found
from inspector.clip.classifier import Classifier
from inspector.detection.judgement import Judgement
from inspector.detection.seeds import derive_seed
from inspector.detection.testing import ClassOutcome, Test, test_of
from inspector.detection.triggers import Trigger, drawn
from inspector.findings import Finding, Severity
from inspector.progress import Meter
from inspector.report import Evidence, Target
from inspector.run.examples import answers, chosen
from inspector.run.pictures import draw_examples, draw_trigger
from inspector.run.prepare import Prepared

NO_BANK = Finding(
    "no-bank",
    Severity.MEDIUM,
    "There is no bank of honest models for this backbone, family, profile and these probes. "
    "Nothing was found, but how much honest models show here is not known.",
)
_DRAWN_ON = 64
"""Held-out probes on whose mean a trigger is shown that is not simply added."""


class SearchStages:
    """State shared by the stages; `leading` is the target of the highest score.

    `test` has one outcome per target.
    """

    test: Test
    leading: Target

    def __init__(self, prepared: Prepared, evidence: Evidence, meter: Meter, out: Path) -> None:
        self.prepared, self.evidence, self.meter, self._out = prepared, evidence, meter, out

    def run(self) -> None:
        """Raises BudgetExceeded or NumericalError; what was found before stays in the evidence.

        RequestError: the calibration that was asked for does not apply.
        """
        meter = self.meter
        with meter.stage("estimate"):
            self.evidence.calibration = self._calibration()
            self.test = self.testing(self._seed)
            self._estimate()
        with meter.stage("inversion"):
            self._invert()
        with meter.stage("judge"):
            judgement = self.test.judged()
            self._enter(judgement)
        if judgement.is_open(len(self.test.sweeps)):
            with meter.stage("confirmation"):
                judgement = self._confirmed(judgement)
        else:
            meter.skip(["confirmation"], "not-needed")
        with meter.stage("pictures"):
            self._draw(judgement)
        self.evidence.is_complete = self.prepared.is_exhaustive
        if self.evidence.calibration is None and not judgement.warned:
            self.evidence.findings.append(NO_BANK)

    @property
    def _seed(self) -> int:
        return self.prepared.request.seed

    def _calibration(self) -> Applied | None:
        prepared, request = self.prepared, self.prepared.request
        trusted = prepared.classifier.backbone.reference
        inspected = Inspected(
            Weights(trusted.sha256, trusted.mean, trusted.std),
            prepared.family,
            prepared.profile,
            Probes(prepared.probes.sha256, prepared.probes.pictures),
            request.in_distribution,
            ClassNames.of(prepared.classifier.classnames),
            request.seed,
            prepared.is_exhaustive,
        )
        return found(request.calibration, request.calibrations, inspected)

    def _estimate(self) -> None:
        prepared, request = self.prepared, self.prepared.request
        # Further sweeps and the search of a repaired model: whether there will
        # be any is not known yet.
        expected = self.test.expected(len(prepared.targets))
        self.meter.expect(expected.units)
        self.meter.unit_seconds = expected.seconds / expected.units
        encoders = 1 if prepared.clean.zero_shot.has_same_encoder else 2
        self.meter.estimate(round(expected.seconds, 1), encoders * expected.images)
        on_top = "further sweeps, if there is doubt," + " and a repair" * request.repair
        self.meter.say(f"{on_top} would come on top")

    def testing(self, seed: int, classifier: Classifier | None = None) -> Test:
        """A new test, as this inspection's own; of the vendor's classifier or of a copy."""
        prepared, applied = self.prepared, self.evidence.calibration
        return test_of(
            prepared.profile, classifier or prepared.classifier, prepared.pools, prepared.radius,
            seed, None if applied is None else applied.thresholds(),
        )  # fmt: skip

    def _invert(self) -> None:
        try:
            self.test.sweep(self.prepared.targets, self.meter)
        finally:
            if self.test.sweeps:  # What was found before the time ran out stays.
                outcomes = self.test.outcomes
                self.evidence.per_class = [self._row(outcome) for outcome in outcomes]

    def _enter(self, judgement: Judgement) -> None:
        evidence = self.evidence
        outcomes = self.test.outcomes
        evidence.score, evidence.threshold = judgement.score, judgement.thresholds.flag
        evidence.is_warned = judgement.warned
        evidence.paper = judgement.published
        evidence.per_class = [self._row(outcome) for outcome in outcomes]
        for row, score in zip(evidence.per_class, judgement.per_class, strict=True):
            row["score"] = score
        self.leading = self._target(self._most_suspicious(judgement))
        evidence.suspect = self.leading if judgement.warned else None

    def _most_suspicious(self, judgement: Judgement) -> int:
        """Of those that were searched, as there is a trigger to show and to repair with."""
        triggers = self._triggers()
        worst = [*judgement.suspects, *self.test.ranked(judgement)]
        return next(target for target in worst if target in triggers)

    def _triggers(self) -> dict[int, Trigger]:
        outcomes = self.test.outcomes
        return {one.target: one.inverted.trigger for one in outcomes if one.inverted}

    def _target(self, index: int) -> Target:
        return Target(index, self.prepared.name(index))

    def _confirmed(self, judgement: Judgement) -> Judgement:
        """Sweep again while there is doubt; confirm what then still stands over the threshold."""
        evidence, test = self.evidence, self.test
        while judgement.is_open(len(test.sweeps)):
            judgement = test.again(judgement, self.meter)
            self._enter(judgement)
            leader = self._most_suspicious(judgement)
            evidence.confirmation.append(
                self._target(leader).to_json()
                | {
                    "seed": derive_seed(self._seed, "sweep", len(test.sweeps) - 1),
                    "score": judgement.score,
                    "confirmed": leader in judgement.suspects,
                }
            )
        if judgement.suspects:
            evidence.confirmed = self._target(judgement.suspects[0])
        return judgement

    def _draw(self, judgement: Judgement) -> None:
        """Triggers of the most suspicious class and of every suspect; examples under the first."""
        first, triggers = self._most_suspicious(judgement), self._triggers()
        for target in dict.fromkeys([first, *judgement.suspects]):
            self._draw_trigger(target, triggers[target])
        shown = {"triggered": ("with the reconstructed trigger", triggers[first])}
        classifier = self.prepared.classifier
        pixels = chosen(classifier, self.prepared.pools.held_out, first)
        examples = draw_examples(self._out, pixels, shown)
        self.evidence.artifacts += [file.to_json() for file in examples]
        self.evidence.examples = answers(classifier, pixels, triggers[first])

    def _draw_trigger(self, target: int, trigger: Trigger) -> None:
        added = drawn(trigger, self.prepared.pools.held_out[:_DRAWN_ON])
        files = draw_trigger(self._out, self._target(target), added)
        self.evidence.artifacts += [file.to_json() for file in files]
        row = next(row for row in self.evidence.per_class if row["index"] == target)
        row["trigger"] = {
            "image": files[0].name,
            "amplified": files[1].name,
            "linf": added.abs().max().item(),
            "l2": torch.linalg.vector_norm(added).item(),
        }

    def _row(self, outcome: ClassOutcome) -> dict[str, Any]:
        """One entry of the report's `per_class`; the score comes with the judgement."""
        return self._target(outcome.target).to_json() | {
            "score": None,
            **outcome.to_json(),
            "steps": self.test.steps if outcome.inverted else 0,
            "trigger": None,
        }
