"""The table of reasons and the code agree: no id without a row, no row without a use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import inspector.checkpoint
from inspector.checkpoint.reasons import REASONS
from inspector.checkpoint.wording import printable
from inspector.findings import Severity

PACKAGE = Path(inspector.checkpoint.__file__).parent
RAISING = {"MalformedArtifact", "UnsupportedFormat", "report", "add"}


def used_ids() -> Iterator[str]:
    errors = PACKAGE.parent / "errors.py"
    for path in (*PACKAGE.rglob("*.py"), errors):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            first = node.args[0]
            is_error = path == errors and name == "__init__"
            if isinstance(first, ast.Constant) and (name in RAISING or is_error):
                yield str(first.value)


def test_every_id_has_a_row_and_every_row_a_use() -> None:
    assert set(used_ids()) == set(REASONS)


def test_only_an_attempt_to_run_code_is_critical() -> None:
    critical = [key for key, reason in REASONS.items() if reason.severity is Severity.CRITICAL]
    assert critical == ["pickle-code-execution"]


def test_printable() -> None:
    assert printable("a\u202eb\x1b\n\ud800\u043e") == "a\\u202eb\\x1b\\x0a\\ud800\\u043e"
    assert len(printable("x" * 1000)) == 200
