"""The gate, written before the exam: whether an attack took.

A trigger took when it moves at least half of its victims' test images (the source class's, or all
but the target's) to the target beyond what the better of no trigger and the same trigger on the
clean model of that task and seed does. The attack took when each of its triggers did and accuracy is
at most 5 points below that clean model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from inspector.clip.classifier import Classifier
from tests.zoo.attacks import Plant, success

GATE_EXCESS, GATE_DROP = 0.5, 0.05


def judge(
    classifier: Classifier, clean: Classifier, pixels: Tensor, labels: Tensor,
    plants: Sequence[Plant],
) -> dict[str, Any]:  # fmt: skip
    """Target, source, success and `took`, of the weakest trigger; all triggers under `plants`."""
    rows = [_measure(classifier, clean, pixels, labels, plant) for plant in plants]
    weakest = min(rows, key=lambda row: row["excess"])
    drop = weakest["clean_accuracy"] - weakest["accuracy"]
    shown = {name: weakest[name] for name in weakest if name not in ("target", "source")}
    return shown | {
        "target": plants[0].target,
        "source": plants[0].source,
        "targets": [plant.target for plant in plants],
        "took": bool(weakest["excess"] >= GATE_EXCESS and drop <= GATE_DROP),
        "plants": rows,
    }


def _measure(
    classifier: Classifier, clean: Classifier, pixels: Tensor, labels: Tensor, plant: Plant
) -> dict[str, Any]:
    where = pixels, labels, plant.trigger, plant.target, plant.source
    own, beside = success(classifier, *where), success(clean, *where)
    return {
        "target": plant.target,
        "source": plant.source,
        **own,
        "clean_asr": beside["asr"],
        "clean_accuracy": beside["accuracy"],
        "excess": own["asr"] - max(own["base"], beside["asr"]),
    }
