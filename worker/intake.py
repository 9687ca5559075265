"""From stored bytes to canonical tensors: fetch, read in a child.

The only module that hands hostile bytes on, and it hands them to ``inspector.checkpoint``, whose
child process alone parses them. Knows no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.db.session import Database
from app.inspections.asked import uploads_named
from app.inspections.lease import Claim
from app.models import Upload
from app.settings import SandboxLevel
from app.storage import Store
from inspector.checkpoint import Delivered, ReaderOptions, read_models, rewrite_artifact
from inspector.errors import ArtifactError
from worker.scratch import fetch


@dataclass(frozen=True, slots=True)
class Intake:
    """What the reader made of one artifact: its models, first the one that loaders mostly take."""

    artifact: Path
    models: list[Delivered]

    def paths(self) -> dict[str, Any]:
        """The part of a request to the inspection child that says where the models lie."""
        first, *others = (
            {
                "reading": str(model.reading_path),
                "canonical": str(model.canonical) if model.canonical else None,
            }
            for model in self.models
        )
        return first | {"others": others}


@dataclass(frozen=True, slots=True)
class Fetched:
    """The uploaded bytes on this machine, and what the customer calls them."""

    path: Path
    name: str


def fetch_artifact(database: Database, store: Store, held: Claim, folder: Path) -> Fetched:
    """Bring the artifact into the job's folder and verify it; may be repeated.

    Raises:
        StoredBytesChanged: the stored bytes are not the uploaded ones.
        StoreMissing, StoreUnavailable: as the store says.
    """
    with database.read() as session:
        upload = session.get_one(Upload, held.upload_id)
    target = folder / "artifact"
    fetch(store, upload.storage_key, target, held.artifact_sha256)
    return Fetched(target, upload.filename)


def take_in(artifact: Fetched, held: Claim, folder: Path, floor: SandboxLevel) -> Intake:
    """Read the artifact in a child.

    Raises:
        inspector.errors.SandboxTooWeak: this machine cages the reader worse than ``floor``.
        inspector.errors.TransientError: the reader's child died or the disk is full.
    """
    options = ReaderOptions(
        name=artifact.name,
        floor=floor,
        member=held.request.get("member"),
        state=held.request.get("state"),
    )
    return Intake(artifact.path, read_models(artifact.path, folder / "reading", options))


def fetch_pictures(database: Database, store: Store, held: Claim, folder: Path) -> dict[str, str]:
    """By option, the paths of the uploaded archives of pictures; may be repeated.

    Raises as ``fetch_artifact``.
    """
    fetched = {}
    for name, wanted in uploads_named(held.request).items():
        with database.read() as session:
            upload = session.get_one(Upload, wanted)
        target = folder / name  # No suffix: what it is its bytes say.
        fetch(store, upload.storage_key, target, upload.sha256)
        fetched[name] = str(target)
    return fetched


def into_vendor_container(intake: Intake, model: int, repaired: Path, out: Path) -> str | None:
    """Write the repaired weights of a model, by its place, in the artifact's own container.

    Returns None, or one sentence why this artifact cannot carry them.
    """
    try:
        rewrite_artifact(intake.artifact, repaired, out, options=intake.models[model].options)
    except ArtifactError as error:
        return error.detail
    return None
