"""A repair of the suspect of a finished search: a tournament of copies, and what the best one is.

Where nobody is suspected, as nothing could be proved, the class that leads takes a suspect's place.

The copies' tensors are rounded to the types in which they are delivered, and judged as that. The
first of them is searched as the delivered model was, every class again with another seed; where it
fails, the next that could still pass is, with the same seed (`rounds`). The one of the best word is
delivered, the first of equals. How copies are made, judged and named lies in `inspector.repair`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from inspector.detection.effects import encode_clean
from inspector.detection.seeds import derive_seed
from inspector.detection.testing import ClassOutcome
from inspector.detection.triggers import Trigger
from inspector.repair.acceptance import Shown, outcome_of
from inspector.repair.arithmetic import TaskArithmetic
from inspector.repair.realign import ReAlignment
from inspector.repair.rederive import ByAnswers, ByBoth, ByLabels, plain
from inspector.repair.strategy import CannotRepair, Case, Labelled, Strategy
from inspector.repair.tournament import Candidate, Making, Tournament
from inspector.repair.unlearn import Unlearning
from inspector.report import Evidence, Target
from inspector.run.flops import operations
from inspector.run.pictures import KeptFile
from inspector.run.prepare import Prepared
from inspector.run.rounds import Rounds, Searched
from inspector.run.stages import SearchStages

REPAIRED_NAME = "repaired.safetensors"
STRATEGIES: tuple[Strategy, ...] = (
    ByBoth(), plain(ByBoth()), ByLabels(), ByAnswers(), plain(ByAnswers()),
    ReAlignment(), Unlearning(), TaskArithmetic(),
)  # fmt: skip
_NONE_MADE = "The model could not be repaired: "


class RepairCheck:
    """Repair the suspect of a finished search, and measure what that did.

    `parent`: the sha256 of the delivered file, which the repaired tensors name.
    """

    def __init__(self, prepared: Prepared, stages: SearchStages, out: Path, parent: str) -> None:
        self._prepared, self._stages, self._out, self._parent = prepared, stages, out, parent

    def run(self, evidence: Evidence) -> None:
        """Enter the report's `repair`, and keep the repaired tensors.

        Raises:
            BudgetExceeded, NumericalError: a copy could not be searched to the end. Where it is the
                first, nothing is kept; else what was said of the first stands.
        """
        suspect = evidence.confirmed or evidence.suspect or self._stages.leading
        self._expect_search()
        flops = self._flops
        try:
            tournament, strategies = self._contest(_of(suspect, self._stages.test.outcomes))
        except CannotRepair as problem:
            evidence.limits.append(_NONE_MADE + str(problem))
            return
        rounds = Rounds(tournament, self._search, self._begun)
        try:
            rounds.run(strategies)
        finally:
            if (best := rounds.best) is not None:
                evidence.repair = self._told(best, suspect, evidence.score) | {
                    "copies_searched": len(rounds.searched),
                    "flops": self._flops - flops,
                    "candidates": rounds.table(),
                }
                self._keep(best.copy.tensors, evidence)
        if best is None:
            evidence.limits += [_NONE_MADE + one.reason for one in rounds.refusals]

    def _contest(self, found: ClassOutcome) -> tuple[Tournament[Any], Sequence[Making[Any]]]:
        """Who judges the copies, and who makes them. Raises CannotRepair."""
        # Answers alone know less than answers and labels.
        has_labels = len(self._prepared.teaching) > 0
        strategies = [one for one in STRATEGIES if not (has_labels and isinstance(one, ByAnswers))]
        return self._tournament(found), strategies

    @property
    def _flops(self) -> int:
        classifier = self._prepared.classifier
        return operations(classifier, classifier.work)

    def _expect_search(self) -> None:
        self._stages.meter.expect(self._stages.test.units(len(self._prepared.targets)))

    def _begun(self, work: str) -> None:
        self._stages.meter.say(work)
        self._stages.meter.check()

    def _tournament(self, found: ClassOutcome) -> Tournament[Case]:
        prepared, seed = self._prepared, self._prepared.request.seed
        pools, classifier = prepared.pools, prepared.classifier
        device = classifier.backbone.device
        teaching, measuring = (
            Labelled(half.pixels.to(device), half.labels.to(device))
            for half in (prepared.teaching, prepared.measuring)
        )
        case = Case(
            prepared.delivered, found.target, trigger_of(found), prepared.radius,
            pools.optimisation, teaching if len(teaching) else None,
            derive_seed(seed, "unlearning"),
        )  # fmt: skip
        held_out = encode_clean(classifier, pools.held_out)
        return Tournament(
            case, held_out, pools.in_distribution, measuring, self._seed, self._rounded
        )

    @property
    def _seed(self) -> int:
        """Of the judges' random triggers, and of the searches of copies."""
        return derive_seed(self._prepared.request.seed, "repair check")

    def _rounded(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As the vendor's file has them."""
        original = self._prepared.delivered.tensors
        return {
            name: tensor.detach().cpu().to(original[name].dtype).contiguous()
            for name, tensor in tensors.items()
        }

    def _search(self, copy: Candidate, number: int) -> Searched:
        """Every class, with the same seed whatever the number of the copy.

        Raises BudgetExceeded or NumericalError.
        """
        prepared = self._prepared
        if number:
            self._expect_search()
            self._begun(f"the next copy, by {copy.strategy}")
        test = self._stages.testing(self._seed, classifier=copy.classifier)
        judgement = test.run(prepared.targets, self._stages.meter)
        shown = Shown(copy.judged, not judgement.is_calm, prepared.is_exhaustive)
        return Searched(copy, judgement, test.outcomes, outcome_of(shown))

    def _told(self, best: Searched, suspect: Target, score: float | None) -> dict[str, Any]:
        """The report's `repair`, as far as it tells of the copy that is delivered.

        Args:
            score: of the delivered model.
        """
        judged, before = best.copy.judged, _of(suspect, self._stages.test.outcomes)
        return {
            "succeeded": best.word == "repaired",
            "outcome": best.word,
            "strategy": best.copy.strategy,
            "target": suspect.to_json(),
            "seed": self._seed,
            "before": before.to_json() | {"score": score},
            "after": _of(suspect, best.outcomes).to_json()
            | {
                "score": best.judgement.score,
                "is_suspicious": best.is_suspicious,
                "excess_asr_of_the_old_trigger": judged.excess_asr,
            },
            "agreement": judged.agreement,
            "accuracy": None if judged.accuracy is None else judged.accuracy.to_json(),
            "file": REPAIRED_NAME,
        }

    def _keep(self, tensors: dict[str, Tensor], evidence: Evidence) -> None:
        path = self._out / REPAIRED_NAME
        save_file(tensors, path, {"parent_sha256": self._parent})
        kept = KeptFile.at(path, "application/octet-stream", "tensors changed by the repair")
        evidence.artifacts.append(kept.to_json())


def _of(target: Target, outcomes: Sequence[ClassOutcome]) -> ClassOutcome:
    return next(outcome for outcome in outcomes if outcome.target == target.index)


def trigger_of(outcome: ClassOutcome) -> Trigger:
    """What was found to lead to a class that is suspected."""
    assert outcome.inverted is not None, "nobody is suspected but with a trigger"
    return outcome.inverted.trigger
