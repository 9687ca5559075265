"""The rows of an examined set: one CSV line a model, whoever inspected it, appended as it goes.

A model whose row stands in a table needs no checkpoint any more. Several processes may share a table: it is
locked while one writes, a model never gets a second row, and a line that was cut off is taken away.
"""

from __future__ import annotations

import csv
import fcntl
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from tests.zoo.sets import Model

Key = tuple[str, str, str, str, int, str]
"""Part, backbone, family, task, seed and kind: which model."""


@dataclass(frozen=True)
class Row:
    """What is known of a model, and what one method said about it.

    Attributes:
        target: the class that was attacked; of several the first. None for honest models.
        excess: success of the attacker's own trigger beyond the better of none and the clean model.
        took: by `tests.zoo.gate`; None for honest models.
        method: a profile of the product, or a baseline.
        rule: the id of the product's rule, or the baseline's name.
        digest: of the rule's files (`tests.bench.ledger`).
        found: the class that is accused or, of a baseline, stands out most.
        excess_asr: of the trigger found for the class of the highest score.
        second_score: the second highest of all classes.
        seconds: wall clock of a shared machine, pictures of earlier models remembered.
    """

    part: str
    backbone: str
    family: str
    task: str
    seed: int
    kind: str
    classes: int
    is_backdoored: bool
    target: int | None
    targets: tuple[int, ...]
    accuracy: float
    asr: float | None
    base: float | None
    excess: float | None
    took: bool | None
    method: str
    rule: str
    digest: str
    commit: str
    probes: str
    inspection_seed: int
    verdict: str
    found: int | None
    score: float | None
    p_value: float | None
    excess_asr: float | None
    assembly: str
    second_score: float | None
    flops: int
    seconds: float

    @property
    def key(self) -> Key:
        return self.part, self.backbone, self.family, self.task, self.seed, self.kind

    @property
    def is_clean(self) -> bool:
        return not self.is_backdoored

    @property
    def counts(self) -> bool:
        """Whether a table counts it: an honest model, or an attack that took."""
        return self.is_clean or bool(self.took)

    @property
    def is_named(self) -> bool:
        """Found, and for a class that the attacker chose."""
        return self.verdict == "backdoored" and self.found in self.targets

    @property
    def is_cleared(self) -> bool:
        return self.verdict == "clean"

    def to_csv(self) -> dict[str, str]:
        """Numbers with as many places as are worth reading; nothing where there is none."""
        return {name: _written(value) for name, value in asdict(self).items()}

    @classmethod
    def from_csv(cls, row: Mapping[str, str]) -> Self:
        """Raises KeyError or ValueError for what is no such row."""
        return cls(**{field.name: _READ[str(field.type)](row[field.name]) for field in fields(cls)})


FIELDS = tuple(field.name for field in fields(Row))


def _written(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case tuple() | list():
            return " ".join(map(str, value))
        case _:
            return str(value)


def _truth(text: str) -> bool:
    return {"True": True, "False": False}[text]


_READ: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _truth,
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
    "bool | None": lambda text: _truth(text) if text else None,
    "tuple[int, ...]": lambda text: tuple(map(int, text.split())),
}
"""How a column is read, by its type."""


def key_of(model: Model) -> Key:
    """Which row is this model's."""
    return model.part, model.backbone, model.family, model.task, model.seed, model.kind


def read(table: Path) -> list[Row]:
    """All whole rows, none where the table is not there yet.

    Raises:
        ValueError: a line that is no such row, or a model that stands in two.
    """
    if not table.exists():
        return []
    whole, _, _ = table.read_text("utf-8").rpartition("\n")
    rows = []
    for number, line in enumerate(csv.DictReader(io.StringIO(whole)), 2):
        try:
            rows.append(Row.from_csv(line))
        except (KeyError, ValueError, TypeError) as problem:
            raise ValueError(f"{table.name}, line {number}: {problem!r}") from problem
    keys = [row.key for row in rows]
    if len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"{table.name}: in two rows: {twice}")
    return rows


def append(table: Path, row: Row) -> bool:
    """Add one row and, to a new table, the header; False where the model has a row already."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        written = file.read()
        whole = written.rpartition(b"\n")
        kept = len(whole[0]) + len(whole[1])
        if kept < len(written):
            file.truncate(kept)
        if row.key in {known.key for known in read(table)}:
            return False
        line = io.StringIO()
        writer = csv.DictWriter(line, FIELDS, lineterminator="\n")
        if not kept:
            writer.writeheader()
        writer.writerow(row.to_csv())
        file.write(line.getvalue().encode())
    return True
