"""How long a file and a function may be. Looks at sizes only, never at what is written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "worker", "inspector", "backbones", "migrations", "tests")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_SOURCE, LONGEST_TEST, LONGEST_FUNCTION = 400, 500, 60


def test_every_package_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_too_long(package: str) -> None:
    limit = LONGEST_TEST if package == "tests" else LONGEST_SOURCE
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in _files(package)}
    assert {_name(path): length for path, length in lengths.items() if length > limit} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_too_long(package: str) -> None:
    too_long = {
        f"{_name(path)}:{node.lineno} {node.name}": _length(node)
        for path in _files(package)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _length(node) > LONGEST_FUNCTION
    }
    assert too_long == {}


def _files(package: str) -> list[Path]:
    return [path for path in FILES if path.is_relative_to(ROOT / package)]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the `def` to the end of the body."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1
