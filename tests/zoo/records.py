"""What every model of the three sets turned out to be, as one row: `python -m tests.zoo.records ZOO ...`.

Checkpoints are not committed, rows are. Each ZOO is a folder as `tests.zoo.make_sets` leaves it; finished models of
the plan (`tests.zoo.sets`) get a row in `--out`, the others are passed over. A row whose folder is gone stays, and zero-shot
and probe of a task and seed that some row has are not measured again, so that a run that was cut
off goes on where it stopped. `--log FILE ...` takes the seconds of models whose truth does not tell them from
what the builder printed. `--table` prints, from the rows alone, what `tests.zoo.record_tables` makes of them.

took     by the gate (`tests.zoo.gate`); `band` tells the others apart: `dropped` had the excess but lost
         too much accuracy, `weak` has an excess of at least WEAK, `none` less. Honest models have neither.
digest   `tests.zoo.digest` of the checkpoint's tensors; `tests.zoo.rebuild` compares with it.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.zoo import make, record_tables
from tests.zoo.beside import Beside, beside
from tests.zoo.build import COCOOP, FINISHED
from tests.zoo.digest import digest_in
from tests.zoo.gate import GATE_EXCESS
from tests.zoo.sets import BACKBONES, PARTS, SETS, Model

TABLE = Path(__file__).parents[1] / "bench" / "tables" / "sets-models.csv"
FIELDS = (
    "model", "part", "backbone", "backbone_sha256", "family", "task", "seed", "kind", "classes",
    "is_backdoored", "attack_family", "targets", "source", "epochs", "accuracy", "clean_accuracy",
    "zero_shot", "probe", "asr", "base", "clean_asr", "excess", "took", "band", "overlay_asr",
    "digest", "seconds", "made_with",
)  # fmt: skip
WEAK = 0.2
_LINE = re.compile(r"(\S+-\d+-\w+)\s+(\d+) s  ")
"""What `tests.zoo.make` prints of a model that it built."""

Row = dict[str, str]


def planned() -> dict[str, Model]:
    """The plan by the names of its folders."""
    return {name_of(model): model for model in SETS}


def name_of(model: Model) -> str:
    return make.folder(Path(), model).as_posix()


def read(table: Path) -> dict[str, Row]:
    """Rows by model; none where there is no table."""
    if not table.exists():
        return {}
    with table.open(newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def write(table: Path, rows: Iterable[Row]) -> None:
    """All rows in the plan's order of parts and backbones, whole or not at all."""
    unfinished = table.with_suffix(".part")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        ordered: list[Row] = sorted(rows, key=_place)
        writer.writerows(ordered)
    unfinished.replace(table)


def _place(row: Row) -> tuple[Any, ...]:
    part, backbone = row["part"], row["backbone"]
    where = [*PARTS].index(part), BACKBONES.index(backbone)  # type: ignore[arg-type]
    return *where, row["task"], int(row["seed"]), row["family"], row["kind"]


def seconds_in(logs: Iterable[Path]) -> dict[str, str]:
    """Seconds by model, of printed lines; where a model was built twice, the last."""
    return {name: told for log in logs for name, told in _LINE.findall(log.read_text())}


def update(zoo: Path, table: Path, told: Mapping[str, str]) -> int:
    """Write the rows of `zoo`'s finished models into `table`; how many.

    told: seconds of models whose truth has none.

    Raises:
        ValueError: a folder holds another model than its name says, or no single checkpoint.
    """
    rows, number = read(table), 0
    known = {
        _lesson(row): Beside(float(row["zero_shot"]), float(row["probe"])) for row in rows.values()
    }
    for name, model in planned().items():
        folder = zoo / name
        if not (folder / FINISHED).exists():
            continue
        row = row_of(model, folder) | {"model": name}
        row["seconds"] = (
            row["seconds"] or told.get(name, "") or rows.get(name, {}).get("seconds", "")
        )
        if (lesson := _lesson(row)) not in known:
            known[lesson] = beside(make.backbone_named(model.backbone), model.task, model.seed)
        row |= {key: _text(value) for key, value in known[lesson]._asdict().items()}
        rows[name], number = row, number + 1
        write(table, rows.values())
    _fill_twins(rows)
    write(table, rows.values())
    return number


def _lesson(row: Row) -> tuple[str, ...]:
    """What zero-shot and probe depend on."""
    return row["backbone_sha256"], row["task"], row["seed"]


def _fill_twins(rows: Mapping[str, Row]) -> None:
    """An honest model's `clean_accuracy` is that of its clean twin's row; the gate tells an attack's."""
    clean = {
        (*_lesson(r), r["family"]): r["accuracy"] for r in rows.values() if r["kind"] == "clean"
    }
    for row in rows.values():
        row["clean_accuracy"] = row["clean_accuracy"] or clean.get(
            (*_lesson(row), row["family"]), ""
        )


def row_of(model: Model, folder: Path) -> Row:
    """All but what the folder does not tell: name, zero-shot, probe and a twin's accuracy.

    Raises:
        ValueError: as `update`.
    """
    truth: dict[str, Any] = json.loads((folder / FINISHED).read_text())
    if (truth["task"], truth["kind"], truth["seed"]) != (model.task, model.kind, model.seed):
        raise ValueError(f"{folder.name} holds another model")
    figures = {name: truth.get(name) for name in FIELDS}
    row = figures | {
        "part": model.part,
        "backbone": model.backbone,
        "family": truth.get("vendor", COCOOP),
        "classes": len(model.classes),
        "attack_family": truth["family"],
        "targets": " ".join(map(str, truth.get("targets", ()))),
        "band": band(truth),
        "overlay_asr": truth.get("overlay", {}).get("asr"),
        "digest": digest_in(folder),
    }
    if not truth["is_backdoored"]:
        row |= {"asr": None, "base": None}  # Of a class that nobody attacks.
    return {name: _text(value) for name, value in row.items()}


def band(truth: Mapping[str, Any]) -> str:
    """How far an attack came; empty for honest models."""
    if not truth["is_backdoored"]:
        return ""
    if truth["took"]:
        return "took"
    if truth["excess"] >= GATE_EXCESS:
        return "dropped"
    return "weak" if truth["excess"] >= WEAK else "none"


def _text(value: object) -> str:
    if isinstance(value, float):
        return str(round(value, 4))
    return "" if value is None else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a row for every model that was built.")
    parser.add_argument("zoos", type=Path, nargs="*", metavar="ZOO")
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--log", type=Path, nargs="+", default=[])
    parser.add_argument("--table", action="store_true", help="print Markdown made of the rows")
    options = parser.parse_args(arguments)
    for zoo in options.zoos:
        number = update(zoo, options.out, seconds_in(options.log))
        print(f"{number} models of {zoo}, {len(read(options.out))} rows")
    if options.table:
        print(record_tables.markdown(list(read(options.out).values()), planned()))


if __name__ == "__main__":
    main()
