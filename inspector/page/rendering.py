"""From report, record and pictures to the text of the page. Puts together; decides nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from inspector.page import evidence, figures, identity
from inspector.page.answers import Case, answers, class_of, date, prediction
from inspector.page.chart import chart_of
from inspector.page.kinds import ACCUSING, kind_of, outcome_of
from inspector.page.pictures import Fetch, gallery


def _finalised(value: object) -> object:
    return value if isinstance(value, Markup) else "" if value is None else figures.shown(value)


_templates = Environment(
    loader=PackageLoader("inspector.page", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalised,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {
    "figure": figures.figure, "quoted": figures.quoted, "as_sentence": figures.as_sentence,
    "short": figures.short, "date": date, "outcome_of": outcome_of,
    "class_of": class_of, "prediction": prediction, "rows": figures.rows, "table": figures.table,
    "rounded": figures.rounded, "is_number": figures.is_number, "yes_or_no": figures.yes_or_no,
    "dumps": json.dumps,
}  # fmt: skip
STYLE = _templates.get_template("report.css").render()
"""What the page's one style element holds; a policy may allow this very text."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page is drawn from.

    Attributes:
        report: `report.json` as it was stored; None where an inspection left none.
        record: the ledger's view of the inspection, as REST gives it; empty on a command line.
        fetch: the bytes of a stored picture by its name; None where it is not kept.
    """

    report: str | None
    record: Mapping[str, Any]
    fetch: Fetch


def render(sources: Sources) -> str:
    """The page.

    Raises:
        ValueError: the report is no JSON object.
    """
    loaded = None if sources.report is None else json.loads(sources.report)
    if sources.report is not None and not isinstance(loaded, dict):
        raise ValueError("a report is a JSON object")
    report: Mapping[str, Any] = loaded or {}
    kind = kind_of(loaded, sources.record)
    sha256 = None if sources.report is None else _sha256(sources.report)
    case = Case(kind, report, sources.record, sha256)
    accuses = kind.name in ACCUSING
    return _templates.get_template("report.html").render(
        style=Markup(STYLE),
        kind=kind,
        accuses=accuses,
        word="trigger" if accuses else "perturbation",
        report=report,
        record=sources.record,
        sha256=sha256,
        answers=answers(case),
        reasons=evidence.reasons(report, sources.record),
        facts=identity.facts(case),
        chart=chart_of(report),
        gallery=gallery(report, sources.fetch),
        leader=evidence.leader(report),
        sandbox=evidence.sandbox(report),
        readings=evidence.readings(report),
        ranked=evidence.ranked(report),
        sweeps=figures.rows(report.get("confirmation")),
        only_search=evidence.only_search(report),
        limits=evidence.limits(report),
        own_limits=identity.own_limits(report),
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
