"""What random triggers carry in zoo models, without any search: a row a model, appended as it goes.

`python -m tests.bench.random_readings FOLDER ... --out CSV [--profile quick] [--backbone B]` reads models as
`tests.zoo.make` leaves them, with as many pictures of the task as the profile takes, and the product's seed 0.
Encoders are nobody's but the backbone's, so what one model made of a picture is remembered for the next of the task.

A bank whose searches were read before there was this reading is completed by it: `python -m tests.bench.banks`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.detection import excess, references
from inspector.detection.excess import HeldOut
from inspector.detection.pools import Pools
from inspector.detection.random_reading import RandomReading, read_random
from inspector.detection.random_triggers import SHARES
from inspector.detection.references import References
from inspector.detection.seeds import derive_seed
from inspector.detection.twin_test import RANDOM_EVAL
from inspector.profiles import profile_named
from inspector.progress import Meter
from tests.bench.appended import read, write
from tests.support.assembling import delivered
from tests.zoo.build import FINISHED
from tests.zoo.make import backbone_named
from tests.zoo.pictures import pictures

MODEL = ("task", "seed", "kind", "is_backdoored", "took", "targets", "excess")
"""Columns that the model's truth.json fills."""
FIELDS = (*MODEL, "classes", "profile", "random", "class", *SHARES)
"""`random` is the largest of all classes, `class` that class, and by family its largest lead beyond strewing."""
OF_A_TASK = 1250
"""Pictures that are drawn of a task, of which the first fifth is held out, as in `tests.bench.contrast`."""


def pools(task: str, profile: str, backbone: Backbone) -> Pools:
    """As many pictures of the task as the profile takes."""
    taken, shown = profile_named(profile), pictures(task, OF_A_TASK, backbone.image_size)
    held_out = OF_A_TASK // 5
    taught = shown[held_out : held_out + taken.probes]
    return Pools(taught, shown[: min(held_out, taken.held_out)], in_distribution=True)


def reading(classifier: Classifier, shown: Pools, seed: int = 0) -> RandomReading:
    """The first that an inspection with this seed would make."""
    known = References.of(classifier, shown.optimisation)
    held_out = HeldOut.of(classifier, known, shown.turned(0, RANDOM_EVAL))
    first = derive_seed(derive_seed(seed, "sweep"), "random triggers")
    return read_random(held_out, first, Meter(lambda _: None, None))


def row_of(folder: Path, shown: Pools, profile: str, backbone: Backbone) -> dict[str, Any]:
    """One model's row."""
    truth = json.loads((folder / FINISHED).read_text())
    found = reading(delivered(folder, backbone), shown)
    leading = int(found.values.argmax())
    return {name: truth.get(name) for name in MODEL} | {
        "targets": " ".join(map(str, truth.get("targets") or ())),
        "classes": len(found.values),
        "profile": profile,
        "random": round(found.value(leading), 5),
        "class": leading,
        **{
            name: round(float(values[:, leading].max()), 4) for name, values in found.beyond.items()
        },
    }


class Remembered:
    """`encoded` of one backbone, whose answers are kept by the bytes of the pictures."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Tensor] = {}

    def __call__(self, classifier: Any, pixels: Tensor) -> Tensor:
        """Features (B, D) of pixels (B, 3, S, S) in [0,1]."""
        key = hashlib.sha256(pixels.contiguous().numpy().tobytes()).digest()
        if key not in self._kept:
            self._kept[key] = encoded(classifier, pixels)
        return self._kept[key]


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Read zoo models by random triggers.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--profile", default="standard")
    parser.add_argument("--backbone", default="pocket")
    options = parser.parse_args(arguments)
    backbone = backbone_named(options.backbone, "cpu")
    remembered = Remembered()
    for module in (excess, references):
        setattr(module, "encoded", remembered)  # noqa: B010
    done = {f"{row['task']}-{row['seed']}-{row['kind']}" for row in read(options.out)}
    shown: dict[str, Pools] = {}
    for folder in options.folders:
        if folder.name in done or not (folder / FINISHED).exists():
            continue
        task = folder.name.split("-")[0]
        if task not in shown:
            shown[task] = pools(task, options.profile, backbone)
        with torch.no_grad():
            row = row_of(folder, shown[task], options.profile, backbone)
        write(options.out, row, FIELDS)
        print(
            f"{folder.name:<36} class {row['class']} of {row['targets'] or '–'}: {row['random']:.3f}"
        )


if __name__ == "__main__":
    main()
