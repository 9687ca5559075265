"""Examine a frozen rule on a set of models, and print what it was worth.

`python -m tests.exam look TAG ZOO [choices]` examines what lies built in ZOO (`tests.zoo.make_sets`), one CSV row
a model as it goes. It refuses where the rule's files differ from TAG, and writes into the ledger before it
looks. Resumable, also elsewhere: what has a row needs no checkpoint. Exit status 1: refused, or a model broke.

`python -m tests.exam drawn ZOO N [--part PART]` lists a draw, and what has to be built before it is complete.

`python -m tests.exam table TABLE ... [--against TABLE ...]` prints what the rows say as Markdown, or how they
compare with a baseline's on the models that both have seen.

`python -m tests.exam rates TAG TABLE ...` writes the error rates that reports tell, of one exam.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from inspector.calibration.rates import RATES
from inspector.files import write_json
from tests.bench.ledger import LEDGER, Refused
from tests.exam.draw import draw
from tests.exam.look import PICTURES, Asked, known_to_take, look
from tests.exam.methods import METHODS
from tests.exam.rates import rates
from tests.exam.rows import Row, read
from tests.exam.table import joined, page, page_against
from tests.zoo import make
from tests.zoo.records import name_of
from tests.zoo.sets import BACKBONES, PARTS, SETS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.exam", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("look", help="examine what is built and has no row")
    one.add_argument("tag")
    one.add_argument("zoo", type=Path)
    one.add_argument("--part", choices=PARTS, default="exam")
    one.add_argument("--backbone", nargs="+", choices=BACKBONES, default=())
    one.add_argument("--method", choices=METHODS, default=METHODS[0])
    one.add_argument(
        "--drawn", type=int, metavar="N", help="a drawn subset, the same for every method"
    )
    one.add_argument("--share", type=make.share_of, default=(1, 1), metavar="I/N")
    one.add_argument("--probes", choices=("own", "builtin"), default="own")
    one.add_argument("--seed", type=int, default=0, help="of the inspection")
    one.add_argument("--device", default="cpu")
    one.add_argument("--out", type=Path, help="the table")
    one.add_argument("--pictures", type=Path, default=PICTURES, help="where probes are kept")
    one.add_argument("--ledger", type=Path, default=LEDGER)
    three = actions.add_parser("drawn", help="list a draw")
    three.add_argument("zoo", type=Path)
    three.add_argument("number", type=int)
    three.add_argument("--part", choices=PARTS, default="exam")
    two = actions.add_parser("table", help="print what rows say")
    two.add_argument("tables", type=Path, nargs="+", metavar="TABLE")
    two.add_argument("--against", type=Path, nargs="+", metavar="TABLE", help="a baseline's rows")
    four = actions.add_parser("rates", help="write what reports tell of errors")
    four.add_argument("tag", help="of the exam")
    four.add_argument("tables", type=Path, nargs="+", metavar="TABLE")
    four.add_argument("--out", type=Path, default=RATES)
    two.add_argument("--backbone", nargs="+", choices=BACKBONES, default=BACKBONES)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.action == "rates":
        write_json(options.out, rates(joined([read(path) for path in options.tables]), options.tag))
        return 0
    if options.action == "table":
        print(_table(options))
        return 0
    if options.action == "drawn":
        print(_drawn(options))
        return 0
    asked = Asked(
        tag=options.tag, zoo=options.zoo, part=options.part, backbones=tuple(options.backbone),
        method=options.method, drawn=options.drawn, share=options.share, probes=options.probes,
        seed=options.seed, device=options.device, out=options.out, pictures=options.pictures,
        ledger=options.ledger,
    )  # fmt: skip
    try:
        return int(look(asked) > 0)
    except Refused as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return 1


def _drawn(options: argparse.Namespace) -> str:
    models = [model for model in SETS if model.part == options.part]
    drawn = draw(models, known_to_take(options.zoo, models), options.number)
    lines = [f"{m.backbone}\t{name_of(m)}" for m in drawn.models]
    lines += [f"{m.backbone}\t{name_of(m)}\tif it takes" for m in drawn.open]
    return "\n".join(lines)


def _table(options: argparse.Namespace) -> str:
    def rows_of(tables: Sequence[Path]) -> list[Row]:
        if missing := [str(table) for table in tables if not table.exists()]:
            sys.exit(f"no such table: {', '.join(missing)}")
        return [row for row in joined(map(read, tables)) if row.backbone in options.backbone]

    rows = rows_of(options.tables)
    return page_against(rows, rows_of(options.against)) if options.against else page(rows)


if __name__ == "__main__":
    sys.exit(main())
