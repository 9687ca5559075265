"""What is imported is declared, what is declared is locked, and the lock files agree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "worker", "inspector", "migrations")
BY_NAME = {"psycopg": "a dialect of SQLAlchemy", "redis": "a transport of kombu"}
"""Declared, though nothing imports them: they are asked for by name."""
LOCKS = {
    "requirements.txt": (),
    "requirements-test.txt": ("test", "check"),
    "requirements-fuzz.txt": ("fuzz",),
    "requirements-pages.txt": ("pdf", "screenshots"),
}
_PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)([^\n]*(?:\n +[^\n]+)*)", re.MULTILINE)
_OURS = re.compile(r"# via clipvet \(pyproject\.toml\)|#   clipvet \(pyproject\.toml\)")


def project() -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return data


def declared(*extras: str) -> dict[str, Requirement]:
    data = project()
    lines = [*data["dependencies"]]
    for extra in extras:
        lines += data["optional-dependencies"][extra]
    requirements = map(Requirement, lines)
    return {canonicalize_name(one.name): one for one in requirements}


def pins(lock: str) -> dict[str, list[tuple[str, str]]]:
    """By distribution: every version with the lines below it; markers may tell versions apart."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, pinned, rest in _PIN.findall((ROOT / lock).read_text("utf-8")):
        found.setdefault(canonicalize_name(name), []).append((pinned, rest))
    return found


def imported() -> Iterator[tuple[str, str]]:
    """Top-level name and the module that imports it, of everything that is not ours or Python's."""
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for top in {name.partition(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top not in PACKAGES:
                    yield top, str(path.relative_to(ROOT))


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    owners = packages_distributions()
    known, used, missing = declared(), set(BY_NAME), []
    for top, module in imported():
        names = {canonicalize_name(name) for name in owners.get(top, ())}
        used |= names
        if not names & known.keys():
            missing.append((top, module))
    assert missing == []
    assert set(known) - used == set()


def test_floors_are_those_that_older_versions_fall_below() -> None:
    """Below these lie published faults that reach us, or interfaces that we do not have."""
    floors = {"starlette": ("1.3.0", "1.3.1"), "kombu": ("5.6.2", "5.7.0")}
    for name, (below, lowest) in floors.items():
        allowed = declared()[name].specifier
        assert below not in allowed
        assert lowest in allowed


@pytest.mark.parametrize("name", declared())
def test_what_is_installed_is_what_is_declared(name: str) -> None:
    assert version(name) in declared()[name].specifier


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_is_of_this_pyproject(lock: str) -> None:
    wanted, locked = declared(*LOCKS[lock]), pins(lock)
    ours = {name for name, rows in locked.items() if any(_OURS.search(rest) for _, rest in rows)}
    assert ours == set(wanted)
    for name, requirement in wanted.items():
        assert all(pinned in requirement.specifier for pinned, _ in locked[name]), name


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_hashed_and_no_index_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    locked = pins(lock)
    assert len(locked) > 50
    for name, rows in locked.items():
        assert all("--hash=sha256:" in rest for _, rest in rows), name
    lines = [line for line in text.splitlines() if not line.startswith((" ", "#"))]
    assert [line for line in lines if not _PIN.match(line)] == []
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock != "requirements.txt"])
def test_lock_files_agree_with_the_first(lock: str) -> None:
    first, other = pins("requirements.txt"), pins(lock)
    for name in first.keys() & other.keys():
        assert {pin for pin, _ in other[name]} <= {pin for pin, _ in first[name]}, name
