"""JSON shapes of uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.models import Upload, UploadPart
from app.uploads.service import part_ranges

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


Shown = Literal["open", "stored", "purged"]
_STATUS: dict[str, Shown] = {
    "open": "open",
    "joining": "open",
    "stored": "stored",
    "purged": "purged",
}


class UploadCreate(BaseModel):
    """Declared before the first byte."""

    model_config = ConfigDict(extra="forbid")

    filename: Annotated[
        str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")
    ]
    size: Annotated[int, Field(ge=1, description="Length of the whole artifact in bytes.")]
    sha256: Annotated[
        Sha256 | None, Field(description="If given, the received bytes must hash to it.")
    ] = None


class PartView(BaseModel):
    """Bytes ``start_offset`` (inclusive) to ``end_offset`` (exclusive) go to ``upload_url``."""

    part_number: int
    start_offset: int
    end_offset: int
    upload_url: str
    received: bool
    sha256: str | None = None


class UploadView(BaseModel):
    """An upload; ``parts`` says what is still missing, so a broken one can be resumed."""

    id: str
    status: Shown
    mode: Literal["single", "multipart"]
    filename: str
    size: int
    sha256: str | None
    declared_sha256: str | None
    parts: list[PartView]
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, upload: Upload, received: list[UploadPart], base_url: str) -> UploadView:
        """The row with every part of its plan, those that are here with their hash."""
        ranges = part_ranges(upload.size, upload.part_bytes)
        here = {part.number: part.sha256 for part in received}
        parts = [
            PartView(
                part_number=part.number,
                start_offset=part.start,
                end_offset=part.end,
                upload_url=f"{base_url}/v1/uploads/{upload.id}/parts/{part.number}",
                received=part.number in here,
                sha256=here.get(part.number),
            )
            for part in ranges
        ]
        return cls(
            id=upload.id,
            status=_STATUS[upload.status],
            mode="single" if len(ranges) == 1 else "multipart",
            filename=upload.filename,
            size=upload.size,
            sha256=upload.sha256,
            declared_sha256=upload.declared_sha256,
            parts=parts if _STATUS[upload.status] == "open" else [],
            created_at=upload.created_at,
            expires_at=upload.expires_at,
            completed_at=upload.completed_at,
        )
