"""From stored bytes to canonical tensors: fetch, read in a child, keep the result beside the upload.

The only module that hands hostile bytes on, and it hands them to ``inspector.checkpoint``, whose
child process alone parses them. Knows no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.db.session import Database
from app.inspections.lease import Claim
from app.models import Upload
from app.settings import SandboxLevel
from app.storage import Store
from inspector.checkpoint import ReaderOptions, Reading, read_artifact, rewrite_artifact
from inspector.errors import ArtifactError
from worker.scratch import fetch


@dataclass(frozen=True, slots=True)
class Intake:
    """What the reader made of one artifact; paths lie in the job's folder."""

    artifact: Path
    reading: Reading
    reading_path: Path
    canonical: Path | None


def take_in(
    database: Database, store: Store, held: Claim, folder: Path, floor: SandboxLevel
) -> Intake:
    """Fetch, verify and read the artifact; store canonical tensors and reading.

    Raises:
        inspector.errors.SandboxTooWeak: this machine cages the reader worse than ``floor``.
        StoredBytesChanged: the stored bytes are not the uploaded ones.
        inspector.errors.TransientError: the reader's child died or the disk is full.
    """
    with database.read() as session:
        upload = session.get_one(Upload, held.upload_id)
    artifact, out = folder / "artifact", folder / "reading"
    fetch(store, upload.storage_key, artifact, held.artifact_sha256)
    reading = read_artifact(artifact, out, options=ReaderOptions(name=upload.filename, floor=floor))
    canonical = out / reading.canonical if reading.canonical else None
    prefix = f"tenants/{held.tenant}/canonical/{held.artifact_sha256}/{reading.reader_version}"
    store.put(f"{prefix}.json", out / "reading.json")
    if canonical is not None:
        store.put(f"{prefix}.safetensors", canonical)
    return Intake(artifact, reading, out / "reading.json", canonical)


def fetch_probes(database: Database, store: Store, held: Claim, folder: Path) -> str:
    """``builtin``, or the path of the uploaded zip of probe images."""
    wanted = str(held.request["probes"])
    if wanted == "builtin":
        return wanted
    with database.read() as session:
        upload = session.get_one(Upload, wanted)
    target = folder / "probes.zip"
    fetch(store, upload.storage_key, target, upload.sha256)
    return str(target)


def into_vendor_container(
    intake: Intake, repaired: Path, out: Path, floor: SandboxLevel
) -> str | None:
    """Write the repaired weights in the artifact's own container.

    Returns None, or one sentence why this artifact cannot carry them.
    """
    try:
        rewrite_artifact(intake.artifact, repaired, out, options=ReaderOptions(floor=floor))
    except ArtifactError as error:
        return error.detail
    return None
