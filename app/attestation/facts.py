"""What is signed about an inspection: taken from the report that is stored, and from nothing else.

A pure function of the report's bytes and of what the ledger knows about the job. Knows no row.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.attestation.published import written
from app.attestation.strictjson import Json, part, rows

ENGINE = "clipvet"


@dataclass(frozen=True, slots=True)
class Job:
    """What the ledger knows: which job, over which bytes, when, and what the policy made of it."""

    inspection_id: str
    artifact_sha256: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime
    fail_on: str
    result: str
    url: str | None = None
    """Where the inspection can be asked for; None where nobody knows the service's own address."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A report and its job, ready to be stated."""

    job: Job
    report: Json
    report_sha256: str
    report_size: int

    @classmethod
    def of(cls, job: Job, body: bytes) -> Facts:
        """Raises ``ValueError`` unless the report is a JSON object."""
        report = json.loads(body)
        if not isinstance(report, dict):
            raise ValueError("the report is no JSON object")
        return cls(job, report, hashlib.sha256(body).hexdigest(), len(body))

    @property
    def name(self) -> str | None:
        """How the customer calls the file."""
        name = self.part("artifact").get("name")
        return name if isinstance(name, str) and name else None

    @property
    def verdict(self) -> str:
        """The report's own."""
        return str(self.report.get("verdict"))

    @property
    def critical(self) -> list[str]:
        """Ids of findings that mean that the file tries to run code."""
        found = [one for one in self.findings if one.get("severity") == "critical"]
        return sorted({str(one.get("id")) for one in found})

    @property
    def findings(self) -> list[Json]:
        """As the report lists them."""
        return rows(self.report, "findings")

    @property
    def engine(self) -> Json:
        """Name, version and digest of the code, and the rule; None what an old report lacks."""
        told = self.part("engine")
        return {"name": ENGINE} | {key: told.get(key) for key in ("version", "sha256", "rule")}

    @property
    def backbone(self) -> Json:
        """Id and sha256, either may be None."""
        return _picked(self.part("backbone"), id="id", sha256="sha256")

    @property
    def bank(self) -> Json | None:
        """Honest models that the p-value was read from; ``models`` is N."""
        told = self.part("calibration")
        names = {"id": "id", "models": "models", "method": "method", "statistic": "statistic"}
        return _picked(told, **names) if told else None

    @property
    def probes(self) -> Json | None:
        """Which kind of pictures, and how many."""
        told = self.part("probes")
        if not told:
            return None
        return _picked(
            told,
            source="source",
            inDistribution="in_distribution",
            count="count",
            heldOut="held_out",
            sha256="sha256",
        )

    @property
    def target(self) -> Json | None:
        """The class that the verdict accuses."""
        told = self.part("target")
        return _picked(told, index="index", name="name") if told else None

    @property
    def repair(self) -> Json | None:
        """What came of the repair, and the sha256 of the repaired file.

        It succeeded where its outcome says so: reports without one measured no accuracy.
        """
        told = self.part("repair")
        if not told:
            return None
        listed = {one.get("name"): one.get("sha256") for one in rows(self.report, "artifacts")}
        succeeded = told.get("outcome") == "repaired" and told.get("succeeded") is True
        return _picked(told, outcome="outcome", file="file") | {
            "succeeded": succeeded,
            "sha256": listed.get(told.get("file")),
        }

    @property
    def moments(self) -> dict[str, str | None]:
        """When it was asked for, begun and finished."""
        begun = self.job.started_at
        return {
            "requestedOn": written(self.job.requested_at),
            "startedOn": None if begun is None else written(begun),
            "finishedOn": written(self.job.finished_at),
        }

    def value(self, key: str) -> Any:
        """A field of the report, None where it is missing."""
        return self.report.get(key)

    def part(self, key: str) -> Json:
        """An object of the report, empty where it is missing or null."""
        return part(self.report, key)


def _picked(told: Json, **names: str) -> Json:
    return {ours: told.get(theirs) for ours, theirs in names.items()}
