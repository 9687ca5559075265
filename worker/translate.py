"""From the inspector's report to the rows of the ledger: the seam between the two vocabularies.

Pure but for hashing files. Believes nothing unchecked: names stay inside the folder, hashes are
computed anew, a report without a known verdict is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from app.inspections.policy import Verdict
from worker.faults import ChildFault
from worker.scratch import sha256_of

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")
_MEDIA_TYPES = {
    ".png": "image/png",
    ".json": "application/json",
    ".safetensors": "application/octet-stream",
    ".csv": "text/csv",
}
_MAX_REPORT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileToKeep:
    """A file in the job's folder that becomes an artifact."""

    name: str
    path: Path
    sha256: str
    size: int
    media_type: str

    @classmethod
    def at(cls, name: str, path: Path) -> FileToKeep:
        """Hash and measure the file; its media type goes by its suffix."""
        media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        return cls(name, path, sha256_of(path), path.stat().st_size, media_type)


@dataclass(frozen=True, slots=True)
class Translated:
    """A report, read and checked."""

    verdict: Verdict
    body: str
    sha256: str
    summary: dict[str, Any]
    files: list[FileToKeep]
    model: int
    """Which of the artifact's models the report is about, by its place."""


def translate(folder: Path, name: str) -> Translated:
    """Read ``folder/name`` and the files that it lists.

    Raises:
        ChildFault: the report is missing, is not what the contract says, or lists a file that is
            not there or has other bytes.
    """
    path = _inside(folder, name)
    if path.stat().st_size > _MAX_REPORT_BYTES:
        raise _nonsense("it is larger than 64 MiB")
    return translate_body(path.read_bytes(), folder)


def translate_body(raw: bytes, folder: Path) -> Translated:
    """As :func:`translate`, for a report that is at hand."""
    try:
        body = raw.decode()
        report = json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        raise _nonsense("it is no JSON") from error
    if not isinstance(report, dict) or report.get("verdict") not in get_args(Verdict):
        raise _nonsense("it has no verdict")
    return Translated(
        verdict=cast(Verdict, report["verdict"]),
        body=body,
        sha256=hashlib.sha256(raw).hexdigest(),
        summary=summarise(report),
        files=list(_listed_files(report, folder)),
        model=_place(report),
    )


def _place(report: dict[str, Any]) -> int:
    models = report.get("models") or [{"is_reported": True}]
    flags = [bool(isinstance(row, dict) and row.get("is_reported")) for row in models]
    if flags.count(True) != 1:
        raise _nonsense("it is about none of the models")
    return flags.index(True)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def summarise(report: dict[str, Any]) -> dict[str, Any]:
    """The few facts that lists and verdicts show without opening the report."""
    copied = ("score", "threshold", "p_value", "assembly", "target", "canonical_sha256")
    findings = [item for item in report.get("findings") or [] if isinstance(item, dict)]
    counts = Counter(str(item.get("severity")) for item in findings)
    ids = [str(item.get("id")) for item in findings if item.get("severity") == "critical"]
    return {key: report.get(key) for key in copied} | {
        "family": (report.get("artifact") or {}).get("family"),
        "engine": (report.get("engine") or {}).get("version"),
        "backbone_sha256": (report.get("backbone") or {}).get("sha256"),
        "excess_asr": _target_excess(report),
        "finding_counts": dict(sorted(counts.items())),
        "critical_findings": ids[:20],
        "has_repair": report.get("repair") is not None,
    }


def _target_excess(report: dict[str, Any]) -> float | None:
    target = report.get("target") or {}
    for row in report.get("per_class") or []:
        if isinstance(row, dict) and row.get("index") == target.get("index"):
            value = row.get("excess_asr")
            return float(value) if isinstance(value, int | float) else None
    return None


def _listed_files(report: dict[str, Any], folder: Path) -> Iterator[FileToKeep]:
    seen: set[str] = set()
    for item in report.get("artifacts") or []:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name in seen:
            raise _nonsense("its list of files is not in order")
        seen.add(name)
        kept = FileToKeep.at(name, _inside(folder, name))
        if item.get("sha256") != kept.sha256:
            raise _nonsense(f"{name} has another hash than it says")
        yield kept


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not _NAME.match(name) or path.is_symlink() or not path.is_file():
        raise _nonsense(f"the file {name[:80]!r} is not there")
    return path


def _nonsense(why: str) -> ChildFault:
    return ChildFault("inspection_protocol", f"the report cannot be used: {why}")
