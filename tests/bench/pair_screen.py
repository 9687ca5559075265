"""What the screen for a buyer's pairs finds in pools that somebody poisoned, and what it says of honest ones.

`python -m tests.bench.pair_screen [--out CSV] [--number N]`: pools of POOLS, each with every trigger of KINDS in
SHARES of its pairs under captions of one class, and each without. The screen sees a pool and the trusted backbone and
nothing else. A row a pool and question (`any`: whichever), resumable.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.probes.pairs import Pairs
from inspector.repair.encoders.screen import QUESTIONS, screened
from tests.bench.appended import read
from tests.zoo.build import classnames
from tests.zoo.pairs import SENTENCES, of_scenes, of_task, poisoned
from tests.zoo.triggers import Trigger, badnets, blended, stripes, text, wanet

POOLS = (("scenes", 21), ("things6", 21), ("patterns7", 21))
"""Kind and seed of pools that set no threshold; those that did are scenes and colours10 of seed 11."""
SCENES_TARGET = "blue star"
SHARES = (0.01, 0.05)
FIELDS = (
    "pool",
    "seed",
    "pairs",
    "kind",
    "share",
    "question",
    "poisoned",
    "found",
    "false",
    "precision",
    "recall",
)
Row = dict[str, object]
Draw = Callable[[int, torch.Generator], Trigger]
KINDS: dict[str, Draw] = {
    "blended": lambda size, generator: blended(size, generator, ratio=0.2, cells=size),
    "badnets": badnets,
    "text": lambda size, _: text(size),
    "wanet": lambda size, generator: wanet(size, generator, strength=8.0, cells=size),
    "stripes": stripes,
}


def pool_of(pool: str, seed: int, number: int, size: int) -> tuple[Pairs, list[str]]:
    """Honest pairs, and captions of the class that an attacker would choose."""
    if pool == "scenes":
        return of_scenes(number, seed, size), [one.format(SCENES_TARGET) for one in SENTENCES]
    names = classnames(pool)
    pairs = of_task(pool, -(-number // len(names)), seed, size)
    return pairs, [one.format(names[1]) for one in SENTENCES]


def rows_of(
    backbone: Backbone, pool: str, seed: int, number: int, kind: str, share: float
) -> Iterator[Row]:
    """A row for each question and one for all."""
    size = backbone.image_size
    pairs, captions = pool_of(pool, seed, number, size)
    is_poisoned = torch.zeros(len(pairs), dtype=torch.bool)
    if kind != "none":
        generator = torch.Generator().manual_seed(seed + 1)
        trigger = KINDS[kind](size, generator)
        pairs, is_poisoned = poisoned(pairs, trigger, captions, share, generator)
    told = screened(pairs, backbone)
    known: Row = {"pool": pool, "seed": seed, "pairs": len(pairs), "kind": kind, "share": share}
    for question, odd in {**told.odd, "any": told.suspects}.items():
        yield known | {"question": question, **_rates(odd, is_poisoned)}


def _rates(odd: Tensor, is_poisoned: Tensor) -> Row:
    found, false = int((odd & is_poisoned).sum()), int((odd & ~is_poisoned).sum())
    number = int(is_poisoned.sum())
    return {
        "poisoned": number, "found": found, "false": false,
        "precision": round(found / (found + false), 3) if found + false else "",
        "recall": round(found / number, 3) if number else "",
    }  # fmt: skip


def plans() -> Iterator[tuple[str, int, str, float]]:
    """Pool, seed, trigger and share of every pool."""
    for pool, seed in POOLS:
        yield pool, seed, "none", 0.0
        for kind, share in product(KINDS, SHARES):
            yield pool, seed, kind, share


def summary(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Over pools, a line a question and share: pairs found, and honest ones that are suspected."""
    for share, question in product(
        dict.fromkeys(row["share"] for row in rows), (*QUESTIONS, "any")
    ):
        some = [row for row in rows if (row["share"], row["question"]) == (share, question)]
        found, number, false, honest = (
            sum(values)
            for values in zip(
                *(
                    (
                        int(r["found"]),
                        int(r["poisoned"]),
                        int(r["false"]),
                        int(r["pairs"]) - int(r["poisoned"]),
                    )
                    for r in some
                ),
                strict=True,
            )
        )
        precision = found / (found + false) if found + false else float("nan")
        recall = found / number if number else float("nan")
        yield (
            f"share {share}, {question}: recall {recall:.3f} ({found} of {number}), precision {precision:.3f}, "
            f"{false} of {honest} honest pairs suspected"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the screen for pairs on poisoned pools.")
    parser.add_argument("--out", type=Path, default=Path("var/pair-screen.csv"))
    parser.add_argument("--number", type=int, default=1000)
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone("pocket")
    for pool, seed, kind, share in plans():
        done = {(row["pool"], row["seed"], row["kind"], row["share"]) for row in read(options.out)}
        if (pool, str(seed), kind, str(share)) in done:
            continue
        rows = list(rows_of(backbone, pool, seed, options.number, kind, share))
        with options.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
        print(
            pool,
            kind,
            share,
            *(f"{row['question']}={row['found']}+{row['false']}" for row in rows),
            flush=True,
        )
    for line in summary(read(options.out)):
        print(line)


if __name__ == "__main__":
    main()
