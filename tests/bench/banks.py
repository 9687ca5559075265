"""The banks that come with clipvet: `python -m tests.bench.banks TABLE --random CSV --out FOLDER [--profile P ...]`.

TABLE holds the rows of `python -m tests.exam look TAG ZOO --part bank`: honest models, each inspected with pictures
of its own task as a suspect is, by the search alone (`twins-1`); CSV holds what random triggers carry in the same
models (`python -m tests.bench.random_readings`). Both are joined as the product joins them, and the largest of any class
with the largest of any other, so that no score is smaller than an inspection's. A bank is their scores and how each model was made, of one backbone and profile,
of few classes or of more; there is a file for each. A profile that searches as that of the rows does and takes as many
pictures, or more, may have a bank of the same rows: `--profile`.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inspector.calibration import Calibration, ClassNames, Probes, Weights, made, method_of, save
from inspector.calibration.pvalue import TASK
from inspector.clip.backbone import Backbone
from inspector.detection.twin_test import joined
from inspector.profiles import FEW_CLASSES, profile_named
from tests.bench.appended import read as read_drawn
from tests.bench.baselines.paper import PROFILE
from tests.exam.rows import Row, read
from tests.zoo.make import backbone_named
from tests.zoo.sets import classes_of


class Unfit(Exception):
    """These rows are no bank."""


def with_random(rows: Sequence[Row], drawn: Path) -> list[Row]:
    """The same with scores of both readings.

    Raises:
        Unfit: a model was not read by random triggers.
    """
    values = {
        (one["task"], int(one["seed"]), one["kind"]): float(one["random"])
        for one in read_drawn(drawn)
    }
    missing = [row for row in rows if (row.task, row.seed, row.kind) not in values]
    if missing:
        raise Unfit(f"{len(missing)} models were not read by random triggers")
    return [
        replace(row, score=joined(row.score, values[row.task, row.seed, row.kind]))
        for row in rows
        if row.score is not None
    ]


def bank(rows: Sequence[Row], backbone: Backbone, profile: str | None = None) -> Calibration:
    """From the rows of honest models, whatever their order; of the rows' profile, or of `profile`.

    Raises:
        Unfit: they are of few and of more classes, of several backbones, methods, probes or seeds, or one of them has no score.
    """
    if (
        len(
            {
                (
                    row.backbone,
                    row.method,
                    row.digest,
                    row.probes,
                    row.inspection_seed,
                    size_of(row),
                )
                for row in rows
            }
        )
        != 1
    ):
        raise Unfit(
            "rows of one backbone, profile, rule, kind of probes, seed and few or more classes are needed"
        )
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
    counts = [row.classes for row in rows]
    seed, named = rows[0].inspection_seed, profile_named(profile or rows[0].method)
    if named.twins != profile_named(rows[0].method).twins:
        raise Unfit(f"{named.name} searches otherwise than {rows[0].method}")
    return made(
        here,
        method,
        named,
        Probes(TASK, pictures_of(rows[0].method)),
        seed,
        models,
        (min(counts), max(counts)),
    )


def pictures_of(method: str) -> tuple[int, int]:
    """To search on and held out: what `tests.exam.look` has, as far as the profile takes them."""
    profile = profile_named(method)
    return min(profile.probes, PROFILE.probes), min(profile.held_out, PROFILE.held_out)


def size_of(row: Row) -> str:
    """Which of two banks a model belongs to."""
    return "few" if row.classes <= FEW_CLASSES else "more"


def _class_lists(rows: Sequence[Row]) -> ClassNames:
    """Of all tasks together."""
    lists = [classes_of(task) for task in sorted({row.task for row in rows})]
    digest = hashlib.sha256(json.dumps(lists).encode()).hexdigest()
    return ClassNames(sum(map(len, lists)), digest)


def groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Backbone and size to the rows of their bank."""

    def key(row: Row) -> tuple[str, str]:
        return row.backbone, size_of(row)

    return {of: list(group) for of, group in itertools.groupby(sorted(rows, key=key), key)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make banks from the rows of honest models.")
    parser.add_argument("table", type=Path)
    parser.add_argument("--random", type=Path, required=True, metavar="CSV")
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--profile", nargs="+", metavar="P", help="default: that of the rows")
    options = parser.parse_args(arguments)
    options.out.mkdir(exist_ok=True)
    try:
        every = with_random(read(options.table), options.random)
    except Unfit as problem:
        parser.error(str(problem))
    for (backbone, size), rows in groups(every).items():
        for profile in options.profile or [rows[0].method]:
            try:
                found = bank(rows, backbone_named(backbone, "cpu"), profile)
            except Unfit as problem:
                parser.error(f"{backbone}, {size} classes: {problem}")
            name = f"{backbone}-{profile}-{size}.json"
            save(found, options.out / name)
            print(
                f"{name} {found.id}: {len(found.scores)} models, {found.scores[0]:.3f} to {found.scores[-1]:.3f}"
            )


if __name__ == "__main__":
    main()
