"""What came out of one inspection, as one list of remarks that every form of telling shares.

Pure. Texts of findings, names of classes and files are the vendor's to choose, so whatever leaves
here is one line of printable characters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from ..transport import Json
from .exits import EXIT_PASS, exit_code

Level = Literal["error", "warning", "note"]

_LEVELS: dict[str, Level] = {"critical": "error", "high": "error", "medium": "warning"}
_RUNS_CODE = "pickle-code-execution"
_SAID = {
    "backdoored": "the model is backdoored",
    "suspicious": "there is evidence of a backdoor, though not enough to accuse",
    "inconclusive": "no verdict could be given",
    "clean": "no backdoor was found",
}
_DO: dict[str, str] = {
    "backdoored": "Do not deploy it. Send the vendor the report and refuse the delivery, or repair "
    "it (--repair) and inspect what comes out.",
    "suspicious": "Do not deploy it yet. Inspect it again with --profile thorough and pictures of "
    "its task (--probes FOLDER --in-distribution), and ask the vendor how it was trained.",
    "inconclusive": "Do not deploy it on this verdict. The findings and the report's stages say "
    "what is missing.",
}
_ASK_AGAIN = "Nothing is known about the model. Submit it again; if that ends alike, tell whoever "
_ASK_AGAIN += "runs the service, with the id of the inspection."


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to be told.

    Attributes:
        level: how loud it is told.
        severity: of a finding, as the report has it; else empty.
        blocks: whether it is why the gate stays shut.
    """

    id: str
    level: Level
    message: str
    remedy: str = ""
    severity: str = ""
    cwe: str | None = None
    atlas: str | None = None
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """One inspection and what became of it.

    Attributes:
        artifact: the path that was given.
        row: the inspection, as the service tells it.
        report: the whole report, where there is one.
        evaluation: of the policy that was asked for, where one was.
        links: by name, as one can open them from here.
    """

    artifact: PurePath
    row: Json
    report: Json = field(default_factory=dict)
    evaluation: Json | None = None
    links: dict[str, str] = field(default_factory=dict)
    waited: bool = True

    @property
    def result(self) -> str | None:
        """pass, warn or fail: by the policy that was asked for, else by ``fail_on``."""
        judged = self.row if self.evaluation is None else self.evaluation
        result: str | None = judged["result"]
        return result

    @property
    def exit_code(self) -> int:
        """For the shell; 0 where nobody waited for the end."""
        if not self.waited:
            return EXIT_PASS
        critical = (self.row["summary"] or {}).get("critical_findings", [])
        return exit_code(self.row["status"], self.row["verdict"], self.result, len(critical))

    @property
    def is_open(self) -> bool:
        """Whether the gate lets the file through."""
        return self.exit_code == EXIT_PASS

    @property
    def page(self) -> str:
        """Where a person looks."""
        return self.links.get("report_html") or self.links.get("self", "")

    @property
    def headline(self) -> str:
        """One line: the file, and what was found."""
        return f"{plain(str(self.artifact))}: {self._said()}"

    def remarks(self) -> list[Remark]:
        """The verdict first, then the policy, then the report's findings, the worst first."""
        if not self.waited:
            return []
        return [*self._of_the_job(), *self._of_the_policy(), *self._of_the_report()]

    def _said(self) -> str:
        if not self.waited:
            return f"the inspection is {self.row['status']}"
        if self.row["status"] != "succeeded":
            error = self.row["error"] or {}
            told = f": {error['code']}: {error['message']}" if error else ""
            return plain(f"the inspection ended as {self.row['status']}{told}")
        summary, verdict = self.row["summary"] or {}, self.row["verdict"]
        if _RUNS_CODE in summary.get("critical_findings", []):
            return "this file runs code when it is loaded: refuse it"
        told = _SAID[verdict]
        if verdict == "inconclusive" and (critical := summary.get("critical_findings")):
            told += f", and there is a critical finding: {', '.join(critical)}"
        if target := summary.get("target"):
            told += f"; it aims at class {target['index']}, {target['name']}"
        return plain(told)

    def _of_the_job(self) -> Iterator[Remark]:
        status, verdict = self.row["status"], self.row["verdict"]
        if status != "succeeded":
            yield Remark(f"inspection-{status}", "error", self._said(), _ASK_AGAIN, blocks=True)
        elif self.row["result"] != "pass":
            level: Level = "warning" if self.is_open else "error"
            remedy = _DO[verdict]
            if _RUNS_CODE in (self.row["summary"] or {}).get("critical_findings", []):
                remedy = "Do not load it anywhere, and refuse the delivery."
            yield Remark(f"verdict-{verdict}", level, self._said(), remedy, blocks=not self.is_open)

    def _of_the_policy(self) -> Iterator[Remark]:
        rules = (self.evaluation or {}).get("rules", [])
        yield from (one for rule in rules if (one := policy_remark(rule)) is not None)

    def _of_the_report(self) -> Iterator[Remark]:
        order = ("critical", "high", "medium", "low", "info")
        findings: list[Json] = self.report.get("findings") or []
        for found in sorted(findings, key=lambda one: order.index(one["severity"])):
            severity = found["severity"]
            level = _LEVELS.get(severity, "note")
            yield Remark(
                plain(found["id"]),
                # What let the file through is told as no error.
                "warning" if level == "error" and self.is_open else level,
                plain(found["message"]),
                plain(found.get("remedy") or ""),
                severity,
                found.get("cwe"),
                found.get("atlas"),
                blocks=severity == "critical" and not self.is_open,
            )

    def to_json(self) -> Json:
        """The inspection as the service tells it, with what the gate adds."""
        findings = self.report.get("findings") if self.report else None
        return self.row | {
            "findings": findings,
            "policy": self.evaluation,
            "exit_code": self.exit_code,
        }

    def fingerprint(self, remark: Remark) -> str:
        """The same for the same remark about the same bytes."""
        about = [self.row["artifact"]["sha256"], remark.id, remark.message]
        return hashlib.sha256("\n".join(about).encode()).hexdigest()


def policy_remark(rule: Json) -> Remark | None:
    """What a rule of an evaluation has to say; None where it holds."""
    if rule["status"] == "passed":
        return None
    failed = rule["status"] == "failed"
    return Remark(
        f"policy-{plain(rule['rule'])}",
        "error" if failed else "warning",
        plain(rule["message"]),
        plain(rule["remedy"]),
        blocks=failed,
    )


def plain(text: Any) -> str:
    """One line of printable characters: no escape sequence, no line that a runner obeys.

    GitHub's runner takes ``##[`` for a command wherever in a line it stands, other commands by the
    ``::`` that a line begins with.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return " ".join(shown.split()).replace("##[", "# #[")
