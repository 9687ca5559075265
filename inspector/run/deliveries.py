"""One artifact, all its models: each is inspected, and the worst verdict counts.

A loader may take another model of the file or folder than the one that was read first; a buyer
cannot know which. Decides nothing about a model itself (`inspector.run.pipeline`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inspector.checkpoint import Reading
from inspector.clip.backbone import load_backbone
from inspector.files import write_json
from inspector.progress import Say
from inspector.report import static_report, worst_report
from inspector.run.pipeline import REPORT_NAME, Load, Request, inspect_reading
from inspector.run.repair_check import REPAIRED_NAME

Source = tuple[Reading, Path | None]
"""A reading and its canonical tensors, None where it has none."""


def inspect_models(
    request: Request,
    sources: Sequence[Source],
    out: Path,
    progress: Say,
    load: Load = load_backbone,
) -> tuple[dict[str, Any], int]:
    """Inspect every model; the worst report, its files in ``out``, and the place of its model.

    The time budget is that of all together.

    Raises:
        RequestError: see `inspect_reading`.
    """
    begun = time.monotonic()
    (out / REPAIRED_NAME).unlink(missing_ok=True)  # Left by another run into the same folder.
    with TemporaryDirectory(prefix="models-", dir=out) as scratch:
        folders = [Path(scratch) / str(number) for number in range(len(sources))]
        reports = []
        for number, (source, folder) in enumerate(zip(sources, folders, strict=True)):
            folder.mkdir()
            left = _left(request, time.monotonic() - begun)
            share = _share(progress, number, len(sources))
            reports.append(_inspect(left, source, folder, share, load))
        if len(reports) == 1:
            report, place = reports[0], 0
        else:
            report, place = worst_report(reports)
        for file in folders[place].iterdir():
            file.replace(out / file.name)
    write_json(out / REPORT_NAME, report)
    return report, place


def _inspect(
    request: Request, source: Source, folder: Path, progress: Say, load: Load
) -> dict[str, Any]:
    reading, canonical = source
    if canonical is None:
        asked = {"profile": request.profile, "seed": request.seed, "backbone": request.backbone}
        return static_report(reading, asked)
    return inspect_reading(request, reading, canonical, folder, progress, load)


def _left(request: Request, spent_s: float) -> Request:
    if request.budget_s is None:
        return request
    return replace(request, budget_s=max(0.0, request.budget_s - spent_s))


def _share(progress: Say, number: int, count: int) -> Say:
    """Progress of one of several inspections as a part of the whole."""
    if count == 1:
        return progress

    def say(message: dict[str, Any]) -> None:
        fraction = message.get("fraction")
        if isinstance(fraction, int | float):
            message = message | {"fraction": (number + fraction) / count}
        progress(message)

    return say
