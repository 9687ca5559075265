"""All models of one artifact: the one that is read first, and every other that a loader could take.

Each is read by a child of its own, told which member and key it is to read. Knows no format.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.checkpoint.child import read_artifact
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.reading import READING_NAME, Reading

Read = Callable[[Path, Path, ReaderOptions], Reading]
"""Reads one artifact into a folder of its own."""
MODELS = 4
"""Models of one artifact that are inspected; honest files hold one, with averaged weights two."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One model of an artifact: its reading, its folder, and the options that gave it."""

    reading: Reading
    folder: Path
    options: ReaderOptions

    @property
    def reading_path(self) -> Path:
        """The reading's JSON, which names the canonical tensors beside it."""
        return self.folder / READING_NAME

    @property
    def canonical(self) -> Path | None:
        """The canonical tensors; None where the model could not be read."""
        return self.folder / self.reading.canonical if self.reading.canonical else None


def _by_child(path: Path, out: Path, options: ReaderOptions) -> Reading:
    return read_artifact(path, out, options=options)


def read_models(
    path: Path, out: Path, options: ReaderOptions, read: Read = _by_child
) -> list[Delivered]:
    """The model at ``path``, and, unless one was asked for, up to three others that differ from it.

    Each gets a folder below ``out``. A model that differs and is not among them stays an
    ``other-model`` among the findings of the first; where all are, these findings are gone.

    Raises:
        FileNotFoundError, ReaderCrashed, StorageFull, SandboxTooWeak: see :func:`read_artifact`.
    """
    models = [Delivered(read(path, out / "0", options), out / "0", options)]
    reading = models[0].reading
    if reading.canonical is None or options.member is not None or options.state is not None:
        return models
    waiting = deque(other for other in reading.others if not other.is_same)
    is_complete, hashes = True, {reading.canonical_sha256}
    while waiting:
        other = waiting.popleft()
        if other.family is None or len(models) == MODELS:
            is_complete = False
            continue
        chosen = replace(options, member=other.member, state=other.state)
        folder = out / str(len(models))
        found = read(path, folder, chosen)
        # A key of a file was named with all others of that file already.
        waiting += [o for o in found.others if not o.is_same and other.state is None]
        found = found.without("model-chosen", "other-model")
        if found.canonical_sha256 is None or found.canonical_sha256 not in hashes:
            hashes.add(found.canonical_sha256)
            models.append(Delivered(found, folder, chosen))
        else:
            # One inspection is enough, but what else is wrong there must not be lost.
            reading = models[0].reading.with_findings_of(found)
            models[0] = replace(models[0], reading=reading)
    if is_complete:
        reading = models[0].reading
        models[0] = replace(models[0], reading=reading.without("other-model"))
    return models
