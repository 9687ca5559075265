"""After a repair: is the backdoor gone, and is it still the same model?

The repaired tensors are rounded to the types in which they are delivered, the classifier is given
exactly these, and every class is searched again with another seed. The method of repair lies in
`inspector.repair`.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from inspector.detection.cost import searches_of
from inspector.detection.effects import encode_clean
from inspector.detection.evidence import Outcome
from inspector.detection.seeds import derive_seed
from inspector.detection.sweep import measure
from inspector.repair.unlearn import repair
from inspector.report import Evidence, Target
from inspector.run.pictures import KeptFile
from inspector.run.prepare import Prepared
from inspector.run.stages import SearchStages

REPAIRED_NAME = "repaired.safetensors"
_CONTEXT = {"ctx": "context"}
"""Canonical names that the classifier calls otherwise."""
RESIDUAL_ASR = 0.1
"""Largest excess ASR of the old trigger after a repair that worked (arXiv 2604.09101's bar)."""


class RepairCheck:
    """Repair the suspect of a finished search, and measure what that did."""

    def __init__(
        self, prepared: Prepared, stages: SearchStages, canonical: Path, out: Path
    ) -> None:
        self._prepared, self._stages = prepared, stages
        self._canonical, self._out = canonical, out

    def run(self, evidence: Evidence) -> None:
        """Enter the report's `repair`, and keep the repaired tensors.

        Raises:
            BudgetExceeded, NumericalError: the repaired model could not be searched again; then
                nothing is kept.
        """
        suspect = evidence.confirmed or evidence.suspect
        assert suspect is not None
        prepared, stages = self._prepared, self._stages
        stages.meter.expect(searches_of(prepared.config, len(prepared.targets)))
        seed = derive_seed(prepared.request.seed, "repair check")
        before = _of(suspect, stages.test.outcomes)
        held_out = prepared.pools.held_out
        delivered = encode_clean(prepared.classifier, held_out).logits.argmax(1)
        rounded = self._tuned(before, derive_seed(prepared.request.seed, "unlearning"))
        baseline = encode_clean(prepared.classifier, held_out)
        same = measure(prepared.classifier, baseline, suspect.index, _trigger(before))
        checked = stages.testing(seed)
        after = checked.run(prepared.targets, stages.meter)
        is_suspicious = after.warned or bool(after.suspects)
        evidence.repair = {
            "succeeded": not is_suspicious and same.excess_asr < RESIDUAL_ASR,
            "target": suspect.to_json(),
            "seed": seed,
            "before": before.to_json() | {"score": evidence.score},
            "after": _of(suspect, checked.outcomes).to_json()
            | {
                "score": after.score,
                "is_suspicious": is_suspicious,
                "excess_asr_of_the_old_trigger": same.excess_asr,
            },
            "agreement": (delivered == baseline.logits.argmax(1)).float().mean().item(),
            "file": REPAIRED_NAME,
        }
        self._keep(rounded, evidence)

    def _tuned(self, found: Outcome, seed: int) -> dict[str, Tensor]:
        """Repair, round to the vendor's types, and let the classifier be what is delivered."""
        prepared = self._prepared
        classifier, probes = prepared.classifier, prepared.pools.optimisation
        culprit = (found.target, _trigger(found))
        changed = repair(classifier, culprit, probes, prepared.config, seed)
        original = load_file(self._canonical)
        rounded = {
            name: tensor.detach().cpu().to(original[name].dtype).contiguous()
            for name, tensor in changed.items()
        }
        state = {_CONTEXT.get(name, name): tensor.float() for name, tensor in rounded.items()}
        classifier.load_state_dict(state, strict=False)
        classifier.requires_grad_(False)
        return rounded

    def _keep(self, tensors: dict[str, Tensor], evidence: Evidence) -> None:
        path = self._out / REPAIRED_NAME
        save_file(tensors, path)
        kept = KeptFile.at(path, "application/octet-stream", "tensors changed by the repair")
        evidence.artifacts.append(kept.to_json())


def _of(target: Target, outcomes: list[Outcome]) -> Outcome:
    return next(outcome for outcome in outcomes if outcome.target == target.index)


def _trigger(outcome: Outcome) -> Tensor:
    assert outcome.inverted is not None, "nobody is suspected but with a trigger"
    return outcome.inverted.trigger
