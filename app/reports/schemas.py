"""JSON shapes of verdicts and artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.inspections.policy import Verdict
from app.models import Artifact, Inspection


class VerdictView(BaseModel):
    """The answer in short; ``summary`` holds score, threshold, target and finding counts."""

    inspection_id: str
    artifact_sha256: str
    verdict: Verdict
    result: Literal["pass", "warn", "fail"]
    fail_on: str
    summary: dict[str, Any]
    finished_at: datetime

    @classmethod
    def of(cls, row: Inspection) -> VerdictView:
        """The verdict, and what the policy makes of it, from the inspection's row."""
        return cls.model_validate(
            {
                "inspection_id": row.id,
                "artifact_sha256": row.artifact_sha256,
                "verdict": row.verdict,
                "result": row.result,
                "fail_on": row.fail_on,
                "summary": row.summary or {},
                "finished_at": row.finished_at,
            }
        )


class ArtifactView(BaseModel):
    """One file to download."""

    name: str
    sha256: str
    size: int
    media_type: str
    url: str

    @classmethod
    def of(cls, item: Artifact, base_url: str) -> ArtifactView:
        """The row with an absolute link below ``base_url``."""
        return cls(
            name=item.name,
            sha256=item.sha256,
            size=item.size,
            media_type=item.media_type,
            url=f"{base_url}/v1/inspections/{item.inspection_id}/artifacts/{item.name}",
        )


class ArtifactList(BaseModel):
    """All files of one inspection."""

    items: list[ArtifactView]
