"""What a person or a log sees."""

from __future__ import annotations

import pytest

from inspector.cli.screen import note_findings, plain, progress_bar, show_rows
from inspector.findings import Finding, Severity


def test_control_characters_are_shown_not_sent() -> None:
    assert plain("a\x1b[31m\nb [red] é").plain == "a\\x1b[31m\\x0ab [red] é"


def test_long_values_are_not_broken_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([("label " * 20, "word " * 60)])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_findings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    note_findings([Finding("class-list-mismatch", Severity.HIGH, "[red] " * 40)])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("high class-list-mismatch: [red] [red]")
    assert len(printed.err.splitlines()) == 1


def test_events_without_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as handle:
        handle({"event": "estimate", "seconds": None})
        handle({"event": "progress", "stage": "[bold]odd", "fraction": 0.1, "eta_s": None})
        handle({"stage": "last"})
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "estimated cost: unknown time\n"
