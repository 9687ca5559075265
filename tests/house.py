"""Rooms, floors and arrows of a package: `python -m tests.house [PACKAGE ...]`, inspector's by default.

A room is a module or package directly below the package, but for `__main__`, which is the door. An
arrow leads from a room to another one when any module of the first imports any of the second; a
module that is imported in ten places is one arrow. A room's floor is one above the highest room that
it leads to, so the number of floors is the longest chain of rooms. Imports that only type checkers
see do not count. An arrow back up is one against the ladder in pyproject.toml.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
DOOR = "__main__"
Arrow = tuple[str, str]


@dataclass(frozen=True)
class House:
    """`below`: by room, the rooms that it leads to; `ladder`: each room's step, 0 the top one, of those
    that stand in pyproject.toml."""

    below: Mapping[str, frozenset[str]]
    ladder: Mapping[str, int]

    @property
    def arrows(self) -> list[Arrow]:
        return sorted((room, other) for room, others in self.below.items() for other in others)

    @property
    def back_up(self) -> list[Arrow]:
        """Arrows to a room that stands as high or higher; empty where there is no ladder."""
        steps = self.ladder
        known = (arrow for arrow in self.arrows if steps.keys() >= set(arrow))
        return [(room, other) for room, other in known if steps[room] >= steps[other]]

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Rooms, each behind all that it leads to. Raises CycleError."""
        return tuple(TopologicalSorter(self.below).static_order())

    @property
    def cycle(self) -> list[str]:
        """Rooms that lead to one another in a ring; empty where none do."""
        try:
            _ = self.order
        except CycleError as problem:
            return list(problem.args[1])
        return []

    @property
    def floors(self) -> dict[str, int]:
        """By room, from 1 for what leads nowhere. Raises CycleError."""
        found: dict[str, int] = {}
        for room in self.order:
            found[room] = 1 + max((found[other] for other in self.below[room]), default=0)
        return found


def house(package: str) -> House:
    """The package as it can be imported here."""
    graph = grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=True)
    below: dict[str, set[str]] = {}
    for module in graph.modules:
        room = _room(module, package)
        if room in ("", DOOR):
            continue
        leads = below.setdefault(room, set())
        for other in graph.find_modules_directly_imported_by(module):
            leads |= {_room(other, package)} - {room, ""}
    return House({room: frozenset(leads) for room, leads in below.items()}, _ladder(package))


def _room(module: str, package: str) -> str:
    """ "" for the package itself."""
    return module.removeprefix(package).removeprefix(".").partition(".")[0]


def _ladder(package: str) -> dict[str, int]:
    contracts = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["type"] == "layers" and contract.get("containers") == [package]:
            rows: Iterable[str] = contract["layers"]
            return {
                room.strip(" ()"): step for step, row in enumerate(rows) for room in row.split("|")
            }
    return {}


def _show(package: str) -> None:
    found = house(package)
    cycle, back_up = found.cycle, found.back_up
    floors = "none, as there is a cycle" if cycle else str(max(found.floors.values()))
    print(
        f"{package}: {len(found.below)} rooms, {floors} floors, {len(found.arrows)} arrows, "
        f"{len(back_up)} back up, {'cycle ' + ' > '.join(cycle) if cycle else 'no cycle'}"
    )
    for room, floor in (
        [] if cycle else sorted(found.floors.items(), key=lambda one: (-one[1], one))
    ):
        print(f"  {floor:>2}  {room:<16} {' '.join(sorted(found.below[room]))}".rstrip())
    for room, other in back_up:
        print(f"  back up: {room} > {other}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Print rooms, floors and arrows of a package.")
    parser.add_argument("package", nargs="*", default=["inspector"])
    for package in parser.parse_args().package:
        _show(package)


if __name__ == "__main__":
    main()
