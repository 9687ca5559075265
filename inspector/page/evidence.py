"""What the verdict rests on: reasons, readings, classes in order, limits. Sorts; judges nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inspector.page.figures import is_number, rows, table

_SEVERITIES = ("critical", "high", "medium", "low", "info")
_MOST_CLASSES = 100
_MOST_REASONS = 2
_AT_WORK = ("queued", "validating", "running")
_REMEDIES = {
    "artifact_gone": "Upload the file again: the service keeps it no longer.",
    "stored_bytes_changed": "Upload the file again, and tell whoever runs the service that what it "
    "had stored was altered.",
    "sandbox_too_weak": "Whoever runs the service must give it a stronger sandbox, or ask for less "
    "of one.",
}
"""What helps against an error of the service, by its code, where asking again does not."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to disturb pictures: what it does for the leading class, and for the best other.

    speaks: whether the report says that this reading counts against the class; None where it does
        not say.
    """

    name: str
    leading: float | None
    other: float | None
    speaks: bool | None


def reasons(report: Mapping[str, Any], record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The findings that weigh most, for page one; an error of the service where there are none.

    Beside the worst a lesser one would only take the eye off it.
    """
    found = sorted(rows(report.get("findings")), key=severity_rank)
    weighty = [finding for finding in found if finding.get("severity") not in ("info", "low")]
    if not weighty:
        return list(_other_reasons(report, record))
    worst = [one for one in weighty if one.get("severity") == weighty[0].get("severity")]
    return worst[:_MOST_REASONS]


def _other_reasons(
    report: Mapping[str, Any], record: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Why there is no verdict, where no finding says so."""
    if error := table(record.get("error")):
        code = error.get("code")
        yield {"message": error.get("message"), "remedy": _REMEDIES.get(str(code))}
    elif record.get("status") in _AT_WORK:
        yield {"message": f"it is {record['status']}; its stage is {record.get('stage')}"}
    searched = rows(report.get("per_class"))
    if report.get("verdict") != "inconclusive" or not searched:
        return
    if report.get("assembly") == "unverified":
        yield {
            "message": report.get("assembly_reason"),
            "remedy": "Check class list, manifest and backbone.",
        }
    if table(report.get("classes")).get("count") not in (None, len(searched)):
        yield {
            "message": "not every class was searched",
            "remedy": "Inspect again without --targets.",
        }


def severity_rank(finding: Mapping[str, Any]) -> int:
    """Zero for the worst."""
    severity = finding.get("severity")
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def only_search(report: Mapping[str, Any]) -> str:
    """Why no further search ended: `enough` (not needed), `unfinished`, or `none` (never begun)."""
    stages = rows(report.get("stages"))
    told = {str(stage.get("name")): stage.get("status") for stage in stages}
    if told.get("confirmation") == "not-needed":
        return "enough"
    return "unfinished" if told.get("inversion") == "complete" else "none"


def ranked(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Classes, highest score first, those without one last."""
    return sorted(rows(report.get("per_class")), key=_by_score)[:_MOST_CLASSES]


def _by_score(row: Mapping[str, Any]) -> tuple[bool, float]:
    score = row.get("score")
    return (False, -float(score)) if is_number(score) else (True, 0.0)


RANDOM = "random"
"""How `readings` calls triggers that were drawn."""


def leader(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The accused class, else that of the highest score."""
    index = table(report.get("target")).get("index")
    found = ranked(report)
    accused = (row for row in found if index is not None and row.get("index") == index)
    return next(accused, found[0] if found else None)


def readings(report: Mapping[str, Any]) -> list[Reading]:
    """By reading, the excess over twins for the leading class, and for the best other.

    Random triggers, and each space that is searched.
    """
    first = leader(report)
    if first is None:
        return []
    others = [row for row in rows(report.get("per_class")) if row is not first]
    speaking = {str(one.get("name")): one.get("speaks") for one in rows(report.get("readings"))}
    found = []
    drawn = [RANDOM] if first.get("random_excess") else []
    for name in (*drawn, *table(first.get("spaces"))):
        elsewhere = [excess for row in others if (excess := _excess(row, name)) is not None]
        said = speaking.get(name)
        found.append(
            Reading(
                name,
                _excess(first, name),
                max(elsewhere, default=None),
                said if isinstance(said, bool) else None,
            )
        )
    return found


def _excess(row: Mapping[str, Any], name: str) -> float | None:
    if name == RANDOM:
        values = row.get("random_excess")
        return min(filter(is_number, values), default=None) if isinstance(values, list) else None
    value = table(row.get("spaces")).get(name)
    return value if is_number(value) else None


def limits(report: Mapping[str, Any]) -> list[str]:
    """The report's sentences."""
    given = report.get("limits")
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def sandbox(report: Mapping[str, Any]) -> str:
    """The strongest layer of the sandbox in which the file was read."""
    layers = report.get("sandbox")
    return str(layers[0]) if isinstance(layers, list) and layers else "unknown kind"
