"""One table says what each finding stands for: no id without a row, no row without a use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import inspector
from inspector.advice import REMEDIES
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.walker import Ledger
from inspector.checkpoint.reasons import REASONS
from inspector.cli import entry
from inspector.errors import (
    AmbiguousFamily,
    ArtifactError,
    AssemblyError,
    BackboneMismatch,
    LimitExceeded,
    UnknownFamily,
)
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


def test_every_id_has_a_remedy_and_every_remedy_an_id() -> None:
    assert set(REMEDIES) == set(WEAKNESSES)


@pytest.mark.parametrize("identifier", REMEDIES)
def test_remedies_are_short_sentences(identifier: str) -> None:
    assert re.fullmatch(r"[A-Z][ -~]{20,198}\.", REMEDIES[identifier])


def test_options_that_remedies_name_exist() -> None:
    group: Any = get_command(entry.cli)
    known = {
        option for each in group.commands.values() for param in each.params for option in param.opts
    }
    named = {
        option for text in REMEDIES.values() for option in re.findall(r"--[a-z]+[a-z-]*", text)
    }
    assert "--manifest" in named
    assert named <= known


@pytest.mark.parametrize(
    "error",
    [
        ArtifactError("empty-file", "x", "Do this."),
        LimitExceeded("x", 1, 2, "Do this."),
        UnknownFamily([], [], remedy="Do this."),
        AmbiguousFamily([], "x", "Do this."),
    ],
)
def test_an_error_of_the_reader_brings_its_own_remedy(error: ArtifactError) -> None:
    def fail() -> None:
        raise error

    draft = Draft("x", Limits(), Ledger(1))
    draft.guard(fail)
    draft.add(error.finding_id, "y")
    assert [f.remedy for f in draft.findings] == ["Do this.", REMEDIES[error.finding_id]]


def test_an_error_of_the_assembly_brings_its_own_remedy() -> None:
    assert AssemblyError("x").finding.remedy == REMEDIES["assembly-impossible"]
    assert AssemblyError("x", remedy="Do this.").finding.remedy == "Do this."
    assert BackboneMismatch("x", "Do this.").finding.remedy == "Do this."


def test_a_remedy_survives_its_json_form_and_an_old_report_has_the_rows_own() -> None:
    own = Finding("empty-file", Severity.MEDIUM, "x", "Do this.")
    assert Finding.from_json(own.to_json()) == own
    data = own.to_json()
    del data["remedy"]
    assert Finding.from_json(data).remedy == REMEDIES["empty-file"]
    with pytest.raises(ValueError, match="remedy"):
        Finding.from_json({**own.to_json(), "remedy": 3})


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
