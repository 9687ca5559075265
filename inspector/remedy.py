"""After a repair: is the backdoor gone, and is it still the same model?

The repaired tensors are rounded to the types in which they are delivered, the classifier is given
exactly these, and every class is searched again with another seed. The method of repair lies in
`inspector.repair`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspector.errors import BudgetExceeded
from inspector.inversion.search import Views, view
from inspector.inversion.sweep import measure
from inspector.pictures import KeptFile
from inspector.preparation import Prepared
from inspector.repair.tune import repair
from inspector.report import Evidence
from inspector.search_stages import SearchStages

REPAIRED_NAME = "repaired.safetensors"
_CONTEXT = {"ctx": "context"}
"""Canonical names that the classifier calls otherwise."""


class Remedy:
    """Repair the suspect of a finished search, and measure what that did."""

    def __init__(
        self, prepared: Prepared, stages: SearchStages, canonical: Path, out: Path
    ) -> None:
        self._prepared, self._stages = prepared, stages
        self._canonical, self._out = canonical, out

    def run(self, evidence: Evidence) -> None:
        """Enter the report's `repair`, and keep the repaired tensors.

        Raises:
            BudgetExceeded: the time ran out before the repaired model was searched again; then
                nothing is kept.
        """
        suspect = evidence.confirmed or evidence.suspect
        assert suspect is not None
        prepared, stages = self._prepared, self._stages
        before = next(o for o in stages.outcomes if o.target == suspect.index)
        seed = prepared.request.seed + 2
        held_out = view(prepared.classifier, prepared.pools.held_out)
        delivered = self._logits(held_out).argmax(1)
        stages.meter.expect(len(prepared.targets))
        self._deliver(
            repair(prepared.classifier, before.trigger, prepared.pools.optimisation, seed)
        )
        clean = self._logits(held_out)
        same = measure(prepared.classifier, held_out, clean, suspect.index, before.trigger)
        outcomes = stages.search(prepared.targets, seed)
        if len(outcomes) < len(prepared.targets):
            (self._out / REPAIRED_NAME).unlink()
            raise BudgetExceeded("the time budget ran out before the repair was checked")
        after = stages.judge_again(outcomes)
        again = next(o for o in outcomes if o.target == suspect.index)
        evidence.repair = {
            "target": suspect.to_json(),
            "seed": seed,
            "before": {
                "score": evidence.score,
                "excess_asr": before.excess_asr,
                "margin_gain": before.margin_gain,
            },
            "after": {
                "score": after.score,
                "is_suspicious": after.warned or bool(after.suspects),
                "excess_asr_of_the_old_trigger": same.excess_asr,
                "excess_asr": again.excess_asr,
                "margin_gain": again.margin_gain,
            },
            "agreement": (delivered == clean.argmax(1)).float().mean().item(),
            "file": REPAIRED_NAME,
        }
        kept = KeptFile.at(
            self._out / REPAIRED_NAME, "application/octet-stream", "tensors changed by the repair"
        )
        evidence.artifacts.append(kept.to_json())

    def _deliver(self, changed: dict[str, Tensor]) -> None:
        """Write the tensors in the vendor's types and shapes; judge what is written."""
        original = load_file(self._canonical)
        rounded = {
            name: tensor.detach().cpu().to(original[name].dtype).contiguous()
            for name, tensor in changed.items()
        }
        save_file(rounded, self._out / REPAIRED_NAME)
        state = {_CONTEXT.get(name, name): tensor.float() for name, tensor in rounded.items()}
        classifier = self._prepared.classifier
        classifier.load_state_dict(state, strict=False)
        classifier.requires_grad_(False)

    @torch.no_grad()
    def _logits(self, held_out: Views) -> Tensor:
        return self._prepared.classifier.logits_from_features(held_out.features)
