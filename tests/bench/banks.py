"""The banks that come with clipvet: `python -m tests.bench.banks TABLE --out FILE.json`.

TABLE holds the rows of `python -m tests.exam look TAG ZOO --part bank` of one backbone and profile: honest models, each
inspected with pictures of its own task as a suspect is. A bank is their scores and how each model was made.
None is shipped yet: the first is half read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from inspector.calibration import Calibration, ClassNames, Weights, made, method_of, save
from inspector.calibration.pvalue import TASK
from inspector.clip.backbone import Backbone
from inspector.profiles import profile_named
from tests.exam.rows import Row, read
from tests.zoo.make import backbone_named
from tests.zoo.sets import classes_of


class Unfit(Exception):
    """These rows are no bank."""


def bank(rows: Sequence[Row], backbone: Backbone) -> Calibration:
    """From the rows of honest models, whatever their order.

    Raises:
        Unfit: they are of several backbones, methods, probes or seeds, or one of them has no score.
    """
    if (
        len(
            {
                (row.backbone, row.method, row.digest, row.probes, row.inspection_seed)
                for row in rows
            }
        )
        != 1
    ):
        raise Unfit("rows of one backbone, profile, rule, kind of probes and seed are needed")
    if any(row.is_backdoored or row.score is None for row in rows):
        raise Unfit("a row is of an attack or has no score")
    methods = {method_of(row.family) for row in rows}
    method = methods.pop()
    if methods or method is None or rows[0].probes != "own":
        raise Unfit("models of one method are needed, inspected with pictures of their tasks")
    models = [
        (row.score, {"task": row.task, "kind": row.kind, "seed": row.seed, "classes": row.classes})
        for row in rows
        if row.score is not None
    ]
    here = Weights(backbone.sha256, backbone.mean, backbone.std), _class_lists(rows)
    return made(here, method, profile_named(rows[0].method), TASK, rows[0].inspection_seed, models)


def _class_lists(rows: Sequence[Row]) -> ClassNames:
    """Of all tasks together."""
    lists = [classes_of(task) for task in sorted({row.task for row in rows})]
    digest = hashlib.sha256(json.dumps(lists).encode()).hexdigest()
    return ClassNames(sum(map(len, lists)), digest)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a bank from the rows of honest models.")
    parser.add_argument("table", type=Path)
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = [row for row in read(options.table) if row.backbone == options.backbone]
    if not rows:
        parser.error(f"{options.table} has no row of {options.backbone}")
    try:
        found = bank(rows, backbone_named(options.backbone, "cpu"))
    except Unfit as problem:
        parser.error(str(problem))
    save(found, options.out)
    print(
        f"{found.id}: {len(found.scores)} models, scores {found.scores[0]:.3f} to {found.scores[-1]:.3f}"
    )


if __name__ == "__main__":
    main()
