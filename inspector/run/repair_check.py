"""A repair of the suspect of a finished search: a tournament of copies, and what the best one is.

The copies' tensors are rounded to the types in which they are delivered, and judged as that. The
winner alone is searched as the delivered model was, every class again with another seed. How copies
are made, judged and named lies in `inspector.repair`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from inspector.detection.effects import encode_clean
from inspector.detection.seeds import derive_seed
from inspector.detection.testing import ClassOutcome
from inspector.detection.triggers import Trigger
from inspector.repair.acceptance import Shown, outcome_of
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


class RepairCheck:
    """Repair the suspect of a finished search, and measure what that did.

    `parent`: the sha256 of the delivered file, which the repaired tensors name.
    """

    def __init__(self, prepared: Prepared, stages: SearchStages, out: Path, parent: str) -> None:
        self._prepared, self._stages, self._out, self._parent = prepared, stages, out, parent

    def run(self, evidence: Evidence) -> None:
        """Enter the report's `repair`, and keep the repaired tensors.

        Raises:
            BudgetExceeded, NumericalError: the winner could not be searched again; then nothing is
                kept.
        """
        suspect = evidence.confirmed or evidence.suspect
        assert suspect is not None
        self._stages.meter.expect(self._stages.test.units(len(self._prepared.targets)))
        before = _of(suspect, self._stages.test.outcomes)
        candidates, refusals = self._copies(before)
        if not candidates:
            evidence.limits += [_NONE_MADE + one.reason for one in refusals]
            return
        self._check(candidates, refusals, (suspect, before), evidence)
        self._keep(candidates[0].tensors, evidence)

    def _copies(self, found: ClassOutcome) -> tuple[list[Candidate], list[Refusal]]:
        """The copies, best first, and who made none."""
        return self._tournament(found).run(STRATEGIES, self._begun)

    def _begun(self, strategy: str) -> None:
        self._stages.meter.say(strategy)
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
        judging = derive_seed(seed, "repair check")
        return Tournament(case, held_out, measuring, judging, self._rounded)

    def _rounded(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As the vendor's file has them."""
        original = self._prepared.delivered.tensors
        return {
            name: tensor.detach().cpu().to(original[name].dtype).contiguous()
            for name, tensor in tensors.items()
        }

    def _check(
        self, candidates: list[Candidate], refusals: list[Refusal],
        accused: tuple[Target, ClassOutcome], evidence: Evidence,
    ) -> None:  # fmt: skip
        winner, (suspect, before), prepared = candidates[0], accused, self._prepared
        seed = derive_seed(prepared.request.seed, "repair check")
        checked = self._stages.testing(seed, classifier=winner.classifier)
        after = checked.run(prepared.targets, self._stages.meter)
        is_suspicious = after.warned or bool(after.suspects)
        agreement = winner.agreement if prepared.pools.in_distribution else None
        word = outcome_of(
            Shown(
                winner.excess_asr,
                is_suspicious,
                prepared.is_exhaustive,
                winner.accuracy,
                agreement,
            )
        )
        evidence.repair = {
            "succeeded": word == "repaired",
            "outcome": word,
            "strategy": winner.strategy,
            "target": suspect.to_json(),
            "seed": seed,
            "before": before.to_json() | {"score": evidence.score},
            "after": _of(suspect, checked.outcomes).to_json()
            | {
                "score": after.score,
                "is_suspicious": is_suspicious,
                "excess_asr_of_the_old_trigger": winner.excess_asr,
            },
            "agreement": winner.agreement,
            "accuracy": None if winner.accuracy is None else winner.accuracy.to_json(),
            "candidates": [row.to_json() for row in candidates]
            + [row.to_json() for row in refusals],
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
