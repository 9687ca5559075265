"""What a person or a log sees."""

from __future__ import annotations

import pytest

from inspector.cli.screen import note_findings, plain, progress_bar, show_report, show_rows
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
    assert len(printed.err.splitlines()) == 2


def test_what_to_do_next_stands_once_below_those_that_it_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    findings = [
        Finding("pickle-unknown-global", Severity.HIGH, "a"),
        Finding("pickle-unknown-global", Severity.HIGH, "b"),
        Finding("pickle-unknown-global", Severity.HIGH, "c", "Give --member \x1b[31m."),
        Finding("no-such-id", Severity.LOW, "d"),
    ]
    note_findings(findings)
    shown = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in shown] == [
        "high pickle-unknown-global",
        "high pickle-unknown-global",
        "  next step",
        "high pickle-unknown-global",
        "  next step",
        "low no-such-id",
    ]
    assert shown[2] == f"  next step: {findings[0].remedy}"
    assert shown[4] == "  next step: Give --member \\x1b[31m."
    show_report({"verdict": "clean", "findings": [finding.to_json() for finding in findings]})
    assert capsys.readouterr().out.splitlines()[-6:] == shown


def test_events_without_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as handle:
        handle({"event": "estimate", "seconds": None})
        handle({"event": "progress", "stage": "[bold]odd", "fraction": 0.1, "eta_s": None})
        handle({"stage": "last"})
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "estimated cost: unknown time\n"


@pytest.mark.parametrize(
    ("number", "told"),
    [({}, ""), ({"copies_searched": 1}, ""), ({"copies_searched": 2}, " (2 copies were searched)")],
)
def test_how_many_copies_were_searched(
    number: dict[str, int], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    after = {"excess_asr_of_the_old_trigger": 0.01}
    repair = {"outcome": "unproved", "strategy": "a copy", "after": after, "accuracy": None}
    show_report({"verdict": "backdoored", "findings": [], "repair": repair | number})
    assert f"unproved, by a copy{told}: excess ASR" in " ".join(capsys.readouterr().out.split())
