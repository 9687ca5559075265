"""Build a set of `tests.zoo.sets`: `python -m tests.zoo.make_sets OUT --part exam [choices]`, resumable.

Prints how many models are left and the hours of one core that they are planned to take, then a line a model as
`tests.zoo.make` does, and at the end the hours used beside the planned ones. `--share 1/2` and
`--share 2/2` divide the work between two processes. The first seed of every task comes before the second, the
clean model of a task and seed before what the gate holds beside it, and dear kinds come last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.zoo import make
from tests.zoo.build import FINISHED
from tests.zoo.kinds import DEAR, KINDS
from tests.zoo.sets import BACKBONES, PARTS, SETS, Model


def ordered(models: Iterable[Model]) -> list[Model]:
    """The order that the module tells of; other kinds keep the plan's."""

    def key(model: Model) -> tuple[bool, int, int, str, bool]:
        dear, classes = model.kind in DEAR, len(model.classes)
        return dear, model.seed, classes, model.task, model.kind != "clean"

    return sorted(models, key=key)


def chosen(options: argparse.Namespace) -> list[Model]:
    """The part's models that fit the options; shares are cut after choosing."""
    models = [
        model
        for model in SETS
        if model.part == options.part
        and model.backbone in options.backbone
        and (options.family is None or model.family in options.family)
        and (options.task is None or model.task in options.task)
        and (options.kind is None or model.kind in options.kind)
        and (options.seed is None or model.seed in options.seed)
    ]
    return make.part(ordered(models), *options.share)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build a set's models, resumably.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--backbone", nargs="+", choices=BACKBONES, default=BACKBONES)
    parser.add_argument("--family", nargs="+", choices=sorted({model.family for model in SETS}))
    parser.add_argument("--task", nargs="+", choices=sorted({model.task for model in SETS}))
    parser.add_argument("--kind", nargs="+", choices=KINDS)
    parser.add_argument("--seed", nargs="+", type=int)
    parser.add_argument("--share", type=make.share_of, default=(1, 1), metavar="I/N")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    models = chosen(options)
    left = [m for m in models if not (make.folder(options.out, m) / FINISHED).exists()]
    planned = sum(model.hours for model in left)
    print(f"{len(left)} of {len(models)} models, {planned:.2f} hours planned", flush=True)
    started = time.monotonic()
    make.make(options.out, left)
    print(f"{(time.monotonic() - started) / 3600:.2f} hours used, {planned:.2f} planned")
    counts = make.outcomes(options.out, models)
    print(*(f"{count} {name}" for name, count in counts.items()), sep=", ")


if __name__ == "__main__":
    main()
