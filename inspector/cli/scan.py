"""`clipvet scan`: all that can be said of an artifact without torch and without running it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.checkpoint import Reading, read_artifact, reading_table
from inspector.cli.exits import exit_of_reading
from inspector.cli.options import Artifact, AsJson, SandboxFloor, checked_backbone, reader_options
from inspector.cli.screen import show_json, show_rows
from inspector.options import Selection
from inspector.options.command_line import taking

if TYPE_CHECKING:
    from inspector.clip.naming import DecodedNames


@taking("read", selection=Selection)
def scan(
    artifact: Artifact,
    selection: Selection,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="B", help="Local backbone whose vocabulary names the classes."),
    ] = None,
    index: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Token index to try, see `clipvet index`."),
    ] = None,
    as_json: AsJson = False,
    sandbox_floor: SandboxFloor = "plain",
) -> None:
    """Look at a checkpoint statically: container, globals, tensors, family, class names."""
    if backbone is not None:
        checked_backbone(backbone)
    decoded, options = None, reader_options(sandbox_floor, selection)
    with TemporaryDirectory(prefix="clipvet-") as scratch:
        reading = read_artifact(artifact, Path(scratch), options=options)
        if reading.canonical is not None:
            decoded = _decode(reading, Path(scratch) / reading.canonical, backbone, index or [])
    for finding in decoded.findings if decoded else ():
        reading = reading.with_finding(finding)
    if as_json:
        show_json(scan_report(reading, decoded))
    else:
        show_rows([*reading_table(reading), *_class_rows(decoded)])
    raise typer.Exit(exit_of_reading(reading.canonical is not None, reading.findings))


def scan_report(reading: Reading, decoded: DecodedNames | None) -> dict[str, Any]:
    """The reading, its artifact extended by the family, and the class names as far as known."""
    names = decoded.names if decoded else None
    vocabulary = decoded.vocabulary if decoded else None
    return reading.to_json() | {
        "schema_version": "1",
        "artifact": asdict(reading.artifact) | {"family": reading.family},
        "classes": {
            "count": len(names) if names else reading.options.get("num_classes"),
            "source": decoded.source if decoded and names else None,
            "match": None,
            "names": list(names) if names else None,
            "vocabulary": {"name": vocabulary, "by": decoded.by}
            if decoded and vocabulary
            else None,
        },
    }


def _class_rows(decoded: DecodedNames | None) -> list[tuple[str, str]]:
    if decoded is None:
        return []
    known = f"{decoded.vocabulary}, by its {decoded.by}"
    rows = [("vocabulary", known if decoded.vocabulary else "none that is known here")]
    return rows + [(f"class {number}", name) for number, name in enumerate(decoded.names or ())]


def _decode(
    reading: Reading, canonical: Path, backbone: str | None, paths: list[Path]
) -> DecodedNames:
    from inspector.clip.naming import names_by_backbone, names_by_index, names_by_statement
    from inspector.clip.vocabulary import load_index, shipped_indexes

    stated = names_by_statement(reading, canonical)
    if stated is not None:
        return stated
    if backbone is not None:
        return names_by_backbone(reading, canonical, backbone)
    return names_by_index(reading, canonical, [*map(load_index, paths), *shipped_indexes()])
