"""The parts of an examined set that a table tells apart, one question a section.

An attack that took is held against all honest models, an honest recipe against all attacks that took; a task, a
family or a backbone is looked at by itself. Attacks that did not take count neither way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.exam.rows import Row
from tests.zoo.gate import GATE_EXCESS
from tests.zoo.kinds import ASIDE_RECIPES, FAMILIES
from tests.zoo.records import WEAK
from tests.zoo.sets import ASIDE_ATTACKS, ASIDE_TASKS, BACKBONES
from tests.zoo.train_pocket import SECOND_POCKET

BANDS = ((GATE_EXCESS, 0.7), (0.7, 0.9), (0.9, None))
"""Excess of attacks that took; the upper end belongs to the next band."""


@dataclass(frozen=True)
class Part:
    """Some models, and what is asked of them.

    Attributes:
        attacked, clean: both sides of an AUROC.
        asks: the sides whose shares are this part's own.
    """

    name: str
    attacked: tuple[Row, ...]
    clean: tuple[Row, ...]
    asks: str = "both"

    @property
    def models(self) -> tuple[Row, ...]:
        return self.attacked + self.clean

    @property
    def asked(self) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
        """The two sides without the one that this part is only held against."""
        attacked = () if self.asks == "clean" else self.attacked
        return attacked, () if self.asks == "attacked" else self.clean


@dataclass(frozen=True)
class Section:
    """Parts under one question."""

    title: str
    parts: tuple[Part, ...]


class Sides:
    """The rows that count, divided into attacks that took and honest models."""

    def __init__(self, rows: Iterable[Row]) -> None:
        every = tuple(rows)
        self.took = tuple(row for row in every if row.is_backdoored and row.took)
        self.failed = tuple(row for row in every if row.is_backdoored and not row.took)
        self.honest = tuple(row for row in every if row.is_clean)

    @property
    def counted(self) -> tuple[Row, ...]:
        return self.took + self.honest

    def attacks(self, name: str, belongs: Callable[[Row], bool]) -> Part:
        return Part(name, tuple(filter(belongs, self.took)), self.honest, "attacked")

    def recipes(self, name: str, belongs: Callable[[Row], bool]) -> Part:
        return Part(name, self.took, tuple(filter(belongs, self.honest)), "clean")

    def within(self, name: str, belongs: Callable[[Row], bool]) -> Part:
        return Part(name, tuple(filter(belongs, self.took)), tuple(filter(belongs, self.honest)))


def sections(rows: Sequence[Row]) -> list[Section]:
    """All sections that have models."""
    sides = Sides(rows)
    every = [
        Section("All, and by backbone", (sides.within("all", lambda _: True), *_backbones(sides))),
        Section("By attack", _each(sides.attacks, sides.took, lambda row: row.kind)),
        Section("By attack family", _each(sides.attacks, sides.took, _family)),
        Section("By strength of the attack", _strengths(sides)),
        Section("By honest recipe", _each(sides.recipes, sides.honest, lambda row: row.kind)),
        Section("By task", _each(sides.within, sides.counted, lambda row: row.task)),
        Section("By number of classes", _each(sides.within, sides.counted, _classes)),
        Section("By family of checkpoint", _each(sides.within, sides.counted, lambda row: row.family)),
        Section("Set aside for the exam, and the rest", _aside(sides)),
    ]  # fmt: skip
    return [Section(one.title, parts) for one in every if (parts := _with_models(one.parts))]


def _with_models(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(part for part in parts if any(part.asked))


def _each(
    make: Callable[[str, Callable[[Row], bool]], Part],
    rows: Iterable[Row],
    of: Callable[[Row], str],
) -> tuple[Part, ...]:
    """One part for each value that `of` has."""
    return tuple(make(value, lambda row, value=value: of(row) == value)  # type: ignore[misc]
                 for value in sorted({of(row) for row in rows}))  # fmt: skip


def _family(row: Row) -> str:
    return FAMILIES[row.kind]


def _classes(row: Row) -> str:
    return f"{row.classes:3} classes"


def _backbones(sides: Sides) -> list[Part]:
    return [
        sides.within(name, lambda row, name=name: row.backbone == name)  # type: ignore[misc]
        for name in BACKBONES
    ]


def _strengths(sides: Sides) -> tuple[Part, ...]:
    """Bands of what took, then what did not; of the latter the faint ones have no part."""

    def band(low: float, high: float | None) -> Part:
        name = f"took, excess {low:g} to {1 if high is None else high:g}"
        return sides.attacks(
            name,
            lambda row: low <= (row.excess or 0) and (high is None or (row.excess or 0) < high),
        )

    weak = tuple(row for row in sides.failed if is_weak(row))
    spoilt = tuple(row for row in sides.failed if (row.excess or 0) >= GATE_EXCESS)
    return (
        *(band(*ends) for ends in BANDS),
        Part(f"did not take, excess {WEAK} to {GATE_EXCESS}", weak, sides.honest, "attacked"),
        Part("did not take, accuracy lost", spoilt, sides.honest, "attacked"),
    )


def is_weak(row: Row) -> bool:
    """An attack that did not take and did something all the same."""
    return row.took is False and WEAK <= (row.excess or 0) < GATE_EXCESS


def _aside(sides: Sides) -> tuple[Part, ...]:
    def attack(row: Row) -> bool:
        return row.kind in ASIDE_ATTACKS

    def recipe(row: Row) -> bool:
        return row.kind in ASIDE_RECIPES

    def task(row: Row) -> bool:
        return row.task in ASIDE_TASKS

    def any_of_them(row: Row) -> bool:
        return attack(row) or recipe(row) or task(row) or row.backbone == SECOND_POCKET

    return (
        sides.attacks("attacks set aside", attack),
        sides.attacks("other attacks", lambda row: not attack(row)),
        sides.recipes("recipes set aside", recipe),
        sides.recipes("other honest models", lambda row: not recipe(row)),
        sides.within("tasks set aside", task),
        sides.within("other tasks", lambda row: not task(row)),
        sides.within("backbone set aside", lambda row: row.backbone == SECOND_POCKET),
        sides.within("anything set aside", any_of_them),
        sides.within("nothing set aside", lambda row: not any_of_them(row)),
    )
