"""How often a verdict depends on the seed of the inspection.

`python -m tests.bench.flips TABLE.csv [TABLE.csv ...]` reads tables of `tests.bench.detect`; a column
`inspection_seed`, where there is one, tells whose rows they are, others are of seed 0. Of the models that
every seed has inspected, attacks that did not take included, it prints how many inspections end in
another verdict than their model's commonest, which models these are, and by seed what was found and
accused. Inspects nothing.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.metrics import markdown

Row = dict[str, str]
Models = dict[str, dict[int, Row]]


def read(tables: Sequence[Path]) -> Models:
    """Model to its row by every seed; only models that all seeds have."""
    models: Models = defaultdict(dict)
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                name = f"{row['task']}-{row['seed']}-{row['kind']}"
                models[name][int(row.get("inspection_seed") or 0)] = row
    seeds = {seed for rows in models.values() for seed in rows}
    return {name: rows for name, rows in models.items() if len(rows) == len(seeds)}


def flipped(rows: Mapping[int, Row]) -> int:
    """Inspections of one model that do not end as most of them do."""
    verdicts = Counter(row["verdict"] for row in rows.values())
    return len(rows) - max(verdicts.values())


def by_seed(models: Models) -> list[list[str]]:
    """Seed, attacks that took and were found with a right target, clean models not called clean."""
    lines = []
    for seed in sorted(next(iter(models.values()))):
        of_seed = [rows[seed] for rows in models.values()]
        found = [row["right"] == "True" for row in of_seed if row["took"] == "True"]
        wrong = [row["right"] != "True" for row in of_seed if row["took"] == ""]
        counts = (f"{sum(each)} of {len(each)}" for each in (found, wrong))
        lines.append([str(seed), *counts])
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", metavar="TABLE.csv")
    models = read(parser.parse_args(arguments).tables)
    if not models or len(next(iter(models.values()))) < 2:
        parser.error("no model was inspected with two seeds")
    inspections = sum(map(len, models.values()))
    flips = sum(map(flipped, models.values()))
    share = flips / inspections
    print(f"{flips} of {inspections} inspections of {len(models)} models differ ({share:.2%})\n")
    for name, rows in sorted(models.items()):
        if flipped(rows):
            print(
                name, *(f"{s}:{row['verdict']}:{row['score']}" for s, row in sorted(rows.items()))
            )
    print("\n" + markdown(("seed", "found", "accused or inconclusive"), by_seed(models)))


if __name__ == "__main__":
    main()
