"""`clipvet scan`: everything that can be said of an artifact without torch and without running it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.checkpoint import ReaderOptions, Reading, read_artifact, reading_table
from inspector.cli.exits import exit_of_reading
from inspector.cli.options import Artifact, AsJson, SandboxFloor
from inspector.cli.screen import show_json, show_rows
from inspector.errors import AssemblyError, BackboneError, RequestError
from inspector.findings import Finding, Severity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AVERAGED = ("PromptSRC",)
"""Families whose files hold embedding rows that are no longer bit for bit those of a backbone."""
_TYPES = ("F16", "F32", "F64")
_TABLES = ("token_embedding.weight", "text.token_embedding.weight")


@dataclass(frozen=True, slots=True)
class DecodedNames:
    """Class names read from the file, or None, and what was odd about them."""

    names: tuple[str, ...] | None
    findings: tuple[Finding, ...] = ()


def scan(
    artifact: Artifact,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="B", help="Local backbone whose vocabulary names the classes."),
    ] = None,
    as_json: AsJson = False,
    sandbox_floor: SandboxFloor = "plain",
) -> None:
    """Look at a checkpoint statically: container, globals, tensors, family, class names."""
    options = ReaderOptions(floor=sandbox_floor)
    with TemporaryDirectory(prefix="clipvet-") as scratch:
        reading = read_artifact(artifact, Path(scratch), options=options)
        decoded = DecodedNames(None)
        if backbone is not None and reading.canonical is not None:
            decoded = _decode(reading, Path(scratch) / reading.canonical, backbone)
    for finding in decoded.findings:
        reading = reading.with_finding(finding)
    if as_json:
        show_json(scan_report(reading, decoded.names))
    else:
        show_rows(reading_table(reading))
        if decoded.names is not None:
            show_rows((f"class {index}", name) for index, name in enumerate(decoded.names))
    raise typer.Exit(exit_of_reading(reading.canonical is not None, reading.findings))


def scan_report(reading: Reading, names: tuple[str, ...] | None) -> dict[str, Any]:
    """The reading, its artifact extended by the family, and the class names as far as known."""
    count = len(names) if names is not None else reading.options.get("num_classes")
    listed = list(names) if names is not None else None
    source = None if names is None else "decoded"
    return reading.to_json() | {
        "schema_version": "1",
        "artifact": asdict(reading.artifact) | {"family": reading.family},
        "classes": {"count": count, "source": source, "match": None, "names": listed},
    }


def _decode(reading: Reading, canonical: Path, spec: str) -> DecodedNames:
    from inspector.clip.classlist import decode_names
    from inspector.clip.suffix import find_altered, prompts_of, rows_to_tokens

    table = _token_embedding(spec)
    info = next((t for t in reading.tensors if t.name.endswith("token_suffix")), None)
    if info is None:
        return _undecoded("class-list-missing", "the file has no token_suffix to read names from")
    if info.dtype not in _TYPES or reading.family in _AVERAGED:
        kind = info.dtype if info.dtype not in _TYPES else "averaged rows"
        return _undecoded("class-list-missing", f"names in {kind} are read by inspect only")
    suffix = _read(canonical, info.name)
    if suffix.shape[-1] != table.shape[1]:
        shapes = f"{'x'.join(map(str, suffix.shape))}, its token embedding {table.shape[1]} columns"
        return _undecoded("backbone-mismatch", f"token_suffix is {shapes}")
    ids = rows_to_tokens(suffix, table.astype(suffix.dtype))
    altered = find_altered(ids)
    if altered is not None:
        return DecodedNames(None, (altered,))
    try:
        return DecodedNames(decode_names(prompts_of(ids)))
    except AssemblyError as problem:
        return _undecoded(problem.finding_id, problem.detail)


def _undecoded(identifier: str, message: str) -> DecodedNames:
    return DecodedNames(None, (Finding(identifier, Severity.MEDIUM, message),))


def _token_embedding(spec: str) -> NDArray[np.floating[Any]]:
    """The token embedding of a backbone on this machine, in the type it is stored in."""
    from safetensors import SafetensorError, safe_open

    from inspector.clip.registry import locate

    weights = locate(spec).weights
    if weights is None:
        raise RequestError("backbone", f"{spec!r} is not on this machine; scan downloads nothing")
    try:
        with safe_open(weights, framework="numpy") as file:
            stored = set(file.keys())
            name = next((name for name in _TABLES if name in stored), None)
            if name is None:
                raise BackboneError(spec, f"its weights hold none of {', '.join(_TABLES)}")
            return file.get_tensor(name)  # type: ignore[no-any-return]
    except (OSError, SafetensorError, TypeError) as problem:
        raise BackboneError(spec, f"cannot read its token embedding: {problem}") from problem


def _read(path: Path, name: str) -> NDArray[np.floating[Any]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.get_tensor(name)  # type: ignore[no-any-return]
