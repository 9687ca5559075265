"""One table says what each finding stands for: no id without a row, no row without a use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import inspector
from inspector.checkpoint.reasons import REASONS
from inspector.findings import WEAKNESSES, Finding, Severity

PACKAGE = Path(inspector.__file__).parent
MAKERS = {
    "Finding", "report", "add", "ArtifactError", "MalformedArtifact", "UnsupportedFormat",
    "AssemblyError", "undecoded", "_finding",
}  # fmt: skip
"""Calls that take the id of a finding as a literal."""
FORWARDERS = {"errors.py", "reasons.py", "naming.py", "integrity.py"}
"""Modules that make a finding of an id which they were given by one of the makers."""
ID = re.compile(r"[a-z]+(-[a-z]+)*")


def calls() -> Iterator[tuple[Path, str, ast.Call]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else ""
                yield path, function.id if isinstance(function, ast.Name) else name, node


def used_ids() -> Iterator[str]:
    defaults = ast.parse((PACKAGE / "errors.py").read_text("utf-8"))
    for node in ast.walk(defaults):
        if isinstance(node, ast.arguments):
            values = (d.value for d in node.defaults if isinstance(d, ast.Constant))
            yield from (value for value in values if isinstance(value, str) and value)
    for path, name, node in calls():
        is_error = path.name == "errors.py" and name == "__init__"
        if name not in MAKERS and not is_error:
            continue
        given = [*node.args[:1], *node.args[1:] * (is_error or name == "AssemblyError")]
        for value in (*given, *(k.value for k in node.keywords if k.arg == "finding_id")):
            if isinstance(value, ast.Constant) and ID.fullmatch(str(value.value)):
                yield str(value.value)


def test_every_id_has_a_row_and_every_row_a_use() -> None:
    assert set(used_ids()) | set(REASONS) == set(WEAKNESSES)


def test_no_finding_is_made_of_an_id_that_the_search_would_miss() -> None:
    dynamic = {
        path.name
        for path, name, node in calls()
        if name == "Finding" and not (node.args and isinstance(node.args[0], ast.Constant))
    }
    assert dynamic <= FORWARDERS


@pytest.mark.parametrize("identifier", WEAKNESSES)
def test_references_have_the_form_of_their_catalogues(identifier: str) -> None:
    cwe, atlas = WEAKNESSES[identifier]
    assert cwe is None or re.fullmatch(r"CWE-[1-9][0-9]{1,3}", cwe)
    assert atlas is None or re.fullmatch(r"AML\.T[0-9]{4}(\.[0-9]{3})?", atlas)


def test_references_come_with_the_finding_and_are_not_read_back() -> None:
    finding = Finding("pickle-code-execution", Severity.CRITICAL, "os.system")
    data = finding.to_json()
    assert (data["cwe"], data["atlas"]) == ("CWE-502", "AML.T0011.000")
    assert finding.references == "CWE-502, AML.T0011.000"
    assert Finding.from_json({**data, "cwe": "CWE-1", "atlas": 7}) == finding
    plain = Finding("empty-file", Severity.MEDIUM, "")
    assert (plain.to_json()["cwe"], plain.to_json()["atlas"], plain.references) == (None, None, "")


def test_what_would_run_code_or_exhaust_the_machine_is_always_classified() -> None:
    grave = {key for key, row in REASONS.items() if row.severity >= Severity.HIGH}
    assert {key for key in grave if WEAKNESSES[key] == (None, None)} == {"non-finite-tensor"}
