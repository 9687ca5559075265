"""JUnit XML as Jenkins and GitLab read it (jenkinsci/xunit-plugin, junit-10.xsd).

The verdict is a test, every rule of a policy, and every finding; one fails where it keeps the gate
shut. What the report has to say besides stands in their output.
"""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree as Xml

from ..transport import Json
from .outcome import Outcome, Remark, plain, policy_remark


def render(outcome: Outcome) -> str:
    """One suite, named after the file."""
    suite = Xml.Element("testsuite")
    cases = [*_of_the_verdict(outcome), *_of_the_policy(outcome), *_of_findings(outcome)]
    _properties(suite, outcome)
    suite.extend(cases)
    counts = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error")}
    seconds = _seconds(outcome.row)
    suite.attrib |= {
        "name": f"clipvet {plain(outcome.artifact)}",
        "tests": str(len(cases)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }
    if outcome.row.get("finished_at"):
        ended = datetime.fromisoformat(outcome.row["finished_at"])
        suite.set("timestamp", ended.strftime("%Y-%m-%dT%H:%M:%S"))
    whole = Xml.Element("testsuites")
    whole.append(suite)
    Xml.indent(whole)
    return Xml.tostring(whole, encoding="unicode", xml_declaration=True)


def _properties(suite: Xml.Element, outcome: Outcome) -> None:
    row = outcome.row
    told = {
        "inspection": row["id"],
        "verdict": row["verdict"],
        "result": outcome.result,
        "sha256": row["artifact"]["sha256"],
        "backbone": row["backbone"],
        "profile": row["profile"],
        "report": outcome.page,
    }
    box = Xml.SubElement(suite, "properties")
    for name, value in told.items():
        Xml.SubElement(box, "property", name=name, value=plain("" if value is None else value))


def _of_the_verdict(outcome: Outcome) -> list[Xml.Element]:
    about = [one for one in outcome.remarks() if one.id.startswith(("verdict-", "inspection-"))]
    case = _case("verdict", outcome, about[0] if about else None)
    if outcome.row["status"] != "succeeded":
        for failure in case.findall("failure"):
            failure.tag = "error"
    Xml.SubElement(case, "system-out").text = f"{outcome.headline}\n{outcome.page}"
    return [case]


def _of_the_policy(outcome: Outcome) -> list[Xml.Element]:
    """Each by itself: several rules may ask for the same of different findings."""
    return [
        _case(f"policy {plain(rule['rule'])}: {plain(rule['found'])}", outcome, policy_remark(rule))
        for rule in (outcome.evaluation or {}).get("rules", [])
    ]


def _of_findings(outcome: Outcome) -> list[Xml.Element]:
    return [_case(f"finding {one.id}", outcome, one) for one in outcome.remarks() if one.severity]


def _case(name: str, outcome: Outcome, remark: Remark | None) -> Xml.Element:
    case = Xml.Element("testcase", name=name, classname="clipvet", time="0")
    if remark is not None:
        told = [remark.message]
        if remark.remedy:
            told.append(f"Next step: {remark.remedy}")
        if remark.blocks:
            failure = Xml.SubElement(case, "failure", type=remark.id, message=remark.message)
            failure.text = "\n".join([*told, f"Report: {outcome.page}"])
        else:
            Xml.SubElement(case, "system-out").text = "\n".join(told)
    return case


def _seconds(row: Json) -> float:
    if not (row.get("started_at") and row.get("finished_at")):
        return 0.0
    began, ended = (datetime.fromisoformat(row[key]) for key in ("started_at", "finished_at"))
    return max(0.0, (ended - began).total_seconds())
