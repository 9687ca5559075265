"""What the parts promise each other: who loads no torch, and which errors there are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from inspector import errors
from inspector.errors import InspectorError

_BRANCH = re.compile(r"^ {4}((?:[│ ] {3})*)([├└]── )?([A-Z]\w+) {2,}")


@pytest.mark.parametrize(
    "module",
    [
        "app.main",
        "inspector.checkpoint",
        "inspector.cli.entry",
        "inspector.manifest",
        "inspector.progress",
        "inspector.request",
        "worker.static",
    ],
)
def test_a_fresh_interpreter_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print({{'torch', 'open_clip'}} & sys.modules.keys())"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "set()"


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        branch = _BRANCH.match(line)
        if branch is None:
            continue
        bars, knot, name = branch.groups()
        depth = len(bars) // 4 + bool(knot)
        above = [*above[:depth], name]
        drawn[name] = above[depth - 1] if depth else "Exception"
    defined = [error for error in _tree(InspectorError) if error.__module__ == errors.__name__]
    assert drawn == {error.__name__: error.__mro__[1].__name__ for error in defined}


def _tree(root: type[InspectorError]) -> Iterator[type[InspectorError]]:
    yield root
    for leaf in root.__subclasses__():
        yield from _tree(leaf)
