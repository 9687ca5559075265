"""A repair of changed encoders: what `repair_check` does for prompts, by strategies of their own.

Pairs are the user's, and of the labelled pictures those that teach, each told by its class's
prompt. The words, the judges and the search of the winner are those of every repair. What is odd
about the pairs is written beside the report, and all of them are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone
from inspector.clip.rebuilding import Delivered
from inspector.detection.effects import encode_clean
from inspector.detection.seeds import derive_seed
from inspector.detection.testing import ClassOutcome
from inspector.files import write_json
from inspector.probes.labelled import LabelledSet
from inspector.probes.pairs import Pairs
from inspector.repair.encoders.case import Accused
from inspector.repair.encoders.choosing import strategies_for
from inspector.repair.encoders.screen import screened
from inspector.repair.strategy import CannotRepair, Labelled
from inspector.repair.tournament import Making, Tournament
from inspector.report import Evidence
from inspector.run.pictures import KeptFile
from inspector.run.prepare import Prepared
from inspector.run.repair_check import RepairCheck, trigger_of
from inspector.run.stages import SearchStages

SCREEN_NAME = "pairs-screen.json"
_ASKED, _SAME = 16, 1e-3
"""Probes on which the file, built again, must say what was inspected; largest difference of
logits."""
_OTHER = "what was inspected is not what the manifest states: state it in full and repair again"


class EncoderCheck(RepairCheck):
    """Repair the encoders behind the suspect of a finished search."""

    def __init__(
        self, prepared: Prepared, stages: SearchStages, out: Path, parent: str,
        delivered: tuple[Reading, Path, Backbone],
    ) -> None:  # fmt: skip
        super().__init__(prepared, stages, out, parent)
        self._reading, self._canonical, self._backbone = delivered

    def run(self, evidence: Evidence) -> None:
        """See `RepairCheck.run`; the screen of the pairs is kept in any case."""
        if (pairs := self._prepared.pairs) is not None:
            meter = self._stages.meter
            meter.say("pairs")
            told = screened(pairs, self._backbone, meter.check).to_json()
            told["left_out"] = pairs.left_out
            path = self._out / SCREEN_NAME
            write_json(path, told)
            kept = KeptFile.at(path, "application/json", "what is odd about the pairs")
            evidence.artifacts.append(kept.to_json())
            if told["suspects"]:
                evidence.limits.append(
                    f"{told['suspects']} of {told['pairs']} pairs look odd, see {SCREEN_NAME}; "
                    "poisoned ones bring a backdoor back. All were used."
                )
        super().run(evidence)

    def _contest(self, found: ClassOutcome) -> tuple[Tournament[Any], Sequence[Making[Any]]]:
        prepared = self._prepared
        delivered = Delivered.read(
            self._reading, self._canonical, prepared.request.manifest, self._backbone
        )
        pixels = prepared.pools.held_out[:_ASKED]
        with torch.no_grad():
            difference = delivered.classifier(pixels) - prepared.classifier(pixels)
        if float(difference.abs().max()) > _SAME:
            raise CannotRepair(_OTHER)
        teaching, measuring = prepared.teaching, prepared.measuring
        case = Accused(
            delivered, found.target, trigger_of(found), _pairs(delivered, prepared, teaching),
            derive_seed(prepared.request.seed, "unlearning"), self._stages.meter,
        )  # fmt: skip
        device = self._backbone.device
        judges = Tournament[Accused](
            case,
            encode_clean(delivered.classifier, prepared.pools.held_out),
            prepared.pools.in_distribution,
            Labelled(measuring.pixels.to(device), measuring.labels.to(device)),
            self._seed,
            delivered.rounded,
        )
        return judges, strategies_for(self._backbone)


def _pairs(delivered: Delivered, prepared: Prepared, teaching: LabelledSet) -> Pairs:
    """The user's, and labelled pictures told by their classes' prompts."""
    said = [delivered.class_prompts[label] for label in teaching.labels.tolist()]
    own = Pairs.of(teaching.pixels, said)
    if prepared.pairs is None:
        return own
    return prepared.pairs.and_also(own) if said else prepared.pairs
