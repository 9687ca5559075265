"""For a person at a terminal or in a log: no line is folded, so that links stay links."""

from __future__ import annotations

from collections.abc import Iterator

from .outcome import Outcome, Remark, plain

_SHOWN = 40


def render(outcome: Outcome) -> str:
    """The outcome in lines; what keeps the gate shut stands at their end."""
    return "\n".join([*_facts(outcome), *_remarks(outcome)])


def _facts(outcome: Outcome) -> Iterator[str]:
    row = outcome.row
    summary = row["summary"] or {}
    target, excess = summary.get("target"), summary.get("excess_asr")
    error, evaluation = row["error"], outcome.evaluation
    facts = {
        "inspection": row["id"],
        "file": f"{outcome.artifact}, sha256 {row['artifact']['sha256']}",
        "status": row["status"],
        "verdict": row["verdict"],
        "result": outcome.result,
        "policy": evaluation and f"{evaluation['policy']['name']} {_version(outcome)}".strip(),
        "target": target and f"{target['index']} {target['name']}",
        "excess ASR": None if excess is None else f"{excess:.3f}",
        "error": error and f"{error['code']}: {error['message']}",
        "report": outcome.links.get("report_html"),
        "look at": None if row["status"] == "succeeded" else outcome.links.get("self"),
    }
    for name, value in facts.items():
        if value is not None:
            yield f"{name:<10}  {plain(value)}"


def _version(outcome: Outcome) -> str:
    version = (outcome.evaluation or {})["policy"].get("version")
    return "" if version is None else f"version {version}"


def _remarks(outcome: Outcome) -> Iterator[str]:
    quiet = [one for one in outcome.remarks() if not one.blocks]
    loud = [one for one in outcome.remarks() if one.blocks]
    for remark in [*quiet[:_SHOWN], *loud]:
        yield ""
        yield from _lines(remark)
    if len(quiet) > _SHOWN:
        yield f"and {len(quiet) - _SHOWN} more in the report"


def _lines(remark: Remark) -> Iterator[str]:
    # Nothing stands at the beginning of a line that somebody else has chosen.
    yield f"{remark.severity or remark.level}  {remark.id}"
    yield f"  {remark.message}"
    if remark.remedy:
        yield f"  next step: {remark.remedy}"
