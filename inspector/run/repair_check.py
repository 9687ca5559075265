"""A repair of the suspect of a finished search: a tournament of copies, and what the best one is.

The copies' tensors are rounded to the types in which they are delivered, and judged as that. The
first of them is searched as the delivered model was, every class again with another seed; where it
fails, the next that could still pass is, with the same seed. The one of the best word is delivered,
the first of equals. How copies are made, judged and named lies in `inspector.repair`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from inspector.detection.effects import encode_clean
from inspector.detection.judgement import Judgement
from inspector.detection.seeds import derive_seed
from inspector.detection.testing import ClassOutcome
from inspector.detection.triggers import Trigger
from inspector.repair.acceptance import (
    BEST_FIRST,
    MOST_SEARCHED,
    Outcome,
    Shown,
    outcome_of,
)
from inspector.repair.arithmetic import TaskArithmetic
from inspector.repair.realign import ReAlignment
from inspector.repair.rederive import ByAnswers, ByLabels
from inspector.repair.strategy import Case, Labelled, Strategy
from inspector.repair.tournament import Candidate, Refusal, Tournament
from inspector.repair.unlearn import Unlearning
from inspector.report import Evidence, Target
from inspector.run.pictures import KeptFile
from inspector.run.prepare import Prepared
from inspector.run.stages import SearchStages

REPAIRED_NAME = "repaired.safetensors"
STRATEGIES: tuple[Strategy, ...] = (
    ByLabels(), ByAnswers(), ReAlignment(), Unlearning(), TaskArithmetic(),
)  # fmt: skip
_NONE_MADE = "The model could not be repaired: "


@dataclass(frozen=True)
class Searched:
    """A copy, what a search of every class says of it, and the word for both.

    `outcomes`: of every class.
    """

    copy: Candidate
    judgement: Judgement
    outcomes: Sequence[ClassOutcome]
    word: Outcome

    def to_json(self) -> dict[str, Any]:
        """As the report's table has it."""
        return {
            "score": self.judgement.score,
            "is_suspicious": _is_suspicious(self.judgement),
        }


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
        suspect = evidence.confirmed or evidence.suspect
        assert suspect is not None
        self._expect_search()
        candidates, refusals = self._copies(_of(suspect, self._stages.test.outcomes))
        if not candidates:
            evidence.limits += [_NONE_MADE + one.reason for one in refusals]
            return
        searched: list[Searched] = []
        try:
            for one in self._searched(candidates):
                searched.append(one)
        finally:
            if searched:
                best = min(searched, key=lambda one: BEST_FIRST.index(one.word))
                evidence.repair = self._told(best, suspect, evidence.score) | {
                    "copies_searched": len(searched),
                    "candidates": _table([*candidates, *refusals], searched),
                }
                self._keep(best.copy.tensors, evidence)

    def _copies(self, found: ClassOutcome) -> tuple[list[Candidate], list[Refusal]]:
        """The copies, best first, and who made none."""
        return self._tournament(found).run(STRATEGIES, self._begun)

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

    def _searched(self, candidates: Sequence[Candidate]) -> Iterator[Searched]:
        """The first copy, and as long as they fail the next ones that may yet pass.

        Raises BudgetExceeded or NumericalError.
        """
        first, *others = candidates
        hopeful = [one for one in others if not one.judged.is_failed]
        for number, copy in enumerate([first, *hopeful][:MOST_SEARCHED]):
            if number:
                self._expect_search()
                self._begun(f"the next copy, by {copy.strategy}")
            one = self._search(copy)
            yield one
            if one.word != "failed":
                return

    def _search(self, copy: Candidate) -> Searched:
        prepared = self._prepared
        test = self._stages.testing(self._seed, classifier=copy.classifier)
        judgement = test.run(prepared.targets, self._stages.meter)
        shown = Shown(copy.judged, _is_suspicious(judgement), prepared.is_exhaustive)
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
                "is_suspicious": _is_suspicious(best.judgement),
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


def _table(
    rows: Sequence[Candidate | Refusal], searched: Sequence[Searched]
) -> list[dict[str, Any]]:
    """A row a strategy, and what the search of its copy said."""
    said = {one.copy.strategy: one.to_json() for one in searched}
    return [row.to_json() | {"searched": said.get(row.strategy)} for row in rows]


def _is_suspicious(judgement: Judgement) -> bool:
    return not judgement.is_calm


def _of(target: Target, outcomes: Sequence[ClassOutcome]) -> ClassOutcome:
    return next(outcome for outcome in outcomes if outcome.target == target.index)


def trigger_of(outcome: ClassOutcome) -> Trigger:
    """What was found to lead to a class that is suspected."""
    assert outcome.inverted is not None, "nobody is suspected but with a trigger"
    return outcome.inverted.trigger
