"""`clipvet trojai`: the command line of TrojAI's detector containers around one inspection.

The interface is NIST's (usnistgov/trojai-example, `entrypoint.py`): options with underscores,
tunable values in a JSON file, and as the answer one probability in a text file. Knows how a report
becomes that number; inspecting is `inspector.cli.inspection`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from inspector.checkpoint import ReaderOptions
from inspector.cli.exits import exit_of_report
from inspector.cli.inspection import Order, run
from inspector.cli.options import SandboxFloor, checked_backbone
from inspector.cli.screen import note
from inspector.errors import ArtifactError, ManifestError, RequestError
from inspector.files import problem_of, read_json, write_whole
from inspector.manifest import Manifest
from inspector.options import Options, specs
from inspector.request import Request, options_in

UNKNOWN = 0.5
STEEPNESS, FLOOR = 4.0, 0.01
"""Of `probability`; chosen, not fitted. The floor bounds what one error costs in cross entropy."""
SCHEMA = Path(__file__).with_name("metaparameters.schema.json")
"""What trojai alone asks for; the options of an inspection are added to it."""


def schema() -> dict[str, Any]:
    """The JSON Schema of the metaparameters."""
    own: dict[str, Any] = read_json(SCHEMA)
    shared = {spec.name: spec.json_schema() for spec in specs(Options, "trojai")}
    return own | {"properties": own["properties"] | shared}


def _unused(name: str) -> Any:
    return typer.Option(f"--{name}", metavar="PATH", help="Accepted for the interface; unused.")


_UNUSED = ("examples_dirpath", "round_training_dataset_dirpath", "learned_parameters_dirpath")


def trojai(
    model_filepath: Annotated[
        Path, typer.Option("--model_filepath", exists=True, help="Checkpoint to be judged.")
    ],
    result_filepath: Annotated[
        Path, typer.Option("--result_filepath", help="Gets one line: the probability.")
    ],
    scratch_dirpath: Annotated[
        Path, typer.Option("--scratch_dirpath", help="Gets the report and pictures.")
    ],
    metaparameters_filepath: Annotated[
        Path,
        typer.Option(
            "--metaparameters_filepath",
            exists=True,
            dir_okay=False,
            help="JSON: backbone; optionally classes, manifest or manifest_name, profile, seed, "
            "probes, in_distribution, device, budget_s.",
        ),
    ],
    mode: Annotated[
        Literal["infer"], typer.Argument(help="There is nothing to configure.")
    ] = "infer",
    schema_filepath: Annotated[
        Path | None,
        typer.Option(
            "--schema_filepath",
            help="Accepted; metaparameters are checked against the command's own schema.",
        ),
    ] = None,
    examples_dirpath: Annotated[Path | None, _unused(_UNUSED[0])] = None,
    round_training_dataset_dirpath: Annotated[Path | None, _unused(_UNUSED[1])] = None,
    learned_parameters_dirpath: Annotated[Path | None, _unused(_UNUSED[2])] = None,
    sandbox_floor: SandboxFloor = "plain",
) -> None:
    """Inspect one checkpoint as a TrojAI detector and write one number from 0 to 1.

    The number is no calibrated probability: it is the score on a fixed curve through 0.5 at the
    accusation threshold, between 0.01 and 0.99. Inconclusive is 0.5. The exit code is that of
    clipvet inspect, so a backdoored model ends with 1 although all went well; a harness that takes
    that for a failure should look at the file, which is not written on exit 2 or 4.
    """
    result_filepath.unlink(missing_ok=True)  # An older answer must not pass for this model's.
    parameters = read_metaparameters(metaparameters_filepath)
    reader = ReaderOptions(floor=sandbox_floor)
    order = Order(model_filepath, _request(model_filepath, parameters), reader)
    _note_unused(
        schema_filepath,
        (examples_dirpath, round_training_dataset_dirpath, learned_parameters_dirpath),
    )
    scratch_dirpath.mkdir(parents=True, exist_ok=True)
    try:
        report, _ = run(order, scratch_dirpath)
    except ArtifactError:
        _write(result_filepath, UNKNOWN)
        raise
    _write(result_filepath, probability(report))
    note(f"{report['verdict']}; report: {scratch_dirpath / 'report.json'}")
    raise typer.Exit(exit_of_report(report))


def probability(report: Mapping[str, Any]) -> float:
    """A number from FLOOR to 1 - FLOOR that grows with the score; not calibrated.

    0.5 at the threshold of accusation, by a logistic curve over score / threshold: a score of zero
    gives 0.03, twice the threshold 0.97. A static prompt that is only `suspicious`, because its
    trigger moves no probes, may be above 0.5. An inconclusive report gives 0.5, whatever was found,
    and so does one without a score; without a bank a report that accuses gives 1 - FLOOR.
    """
    score, threshold = report["score"], report["threshold"]
    if report["verdict"] == "inconclusive" or score is None:
        return UNKNOWN
    if not threshold:  # No bank: only what two searches show accuses.
        return 1 - FLOOR if report["verdict"] == "backdoored" else UNKNOWN
    steps = STEEPNESS * (score / threshold - 1)
    return FLOOR + (1 - 2 * FLOOR) * (0.5 + 0.5 * math.tanh(steps / 2))


def read_metaparameters(path: Path) -> dict[str, Any]:
    """The checked object.

    Raises:
        RequestError: no JSON object, or one that breaks the schema; the field is named.
    """
    data = _object("metaparameters", path)
    wrong = problem_of(data, schema())
    if wrong:
        raise RequestError(wrong[0] or "metaparameters", wrong[1])
    if "manifest" in data and "manifest_name" in data:
        raise RequestError("manifest_name", "stands beside manifest; give one of them")
    return dict(data)


def _request(model: Path, parameters: Mapping[str, Any]) -> Request:
    return Request(
        **options_in(parameters, "trojai"),
        backbone=checked_backbone(parameters["backbone"]),
        manifest=_manifest(model, parameters),
        device=parameters.get("device", "auto"),
    )


def _manifest(model: Path, parameters: Mapping[str, Any]) -> Manifest:
    """A vendor's file may not name files of this machine."""
    data = dict(parameters.get("manifest", {}))
    if name := parameters.get("manifest_name"):
        folder = model if model.is_dir() else model.parent
        data = dict(_object("manifest_name", folder / name))
    if "classes" in parameters:
        data["classnames"] = parameters["classes"]
    try:
        return Manifest.parse(data)
    except ManifestError as problem:
        field = "classes" if problem.field == "classnames" and "classes" in parameters else None
        raise RequestError(field or f"manifest.{problem.field}", problem.detail) from problem


def _object(field: str, path: Path) -> Mapping[str, Any]:
    try:
        data = read_json(path)
    except (OSError, ValueError) as problem:
        raise RequestError(field, f"cannot read {path.name}: {problem}") from problem
    if not isinstance(data, dict):
        raise RequestError(field, f"{path.name} is no JSON object")
    return data


def _note_unused(schema: Path | None, paths: tuple[Path | None, ...]) -> None:
    named = [f"--{name}" for name, path in zip(_UNUSED, paths, strict=True) if path is not None]
    if named:
        note(f"unused: {', '.join(named)}")
    if schema is not None and not _is_own(schema):
        note("--schema_filepath is another schema than this command's own, which is used instead")


def _is_own(given: Path) -> bool:
    try:
        return bool(read_json(given) in (schema(), read_json(SCHEMA)))
    except (OSError, ValueError):
        return False


def _write(path: Path, value: float) -> None:
    """The whole line or nothing: a harness may stop us at any time."""
    write_whole(path, f"{value!r}\n")
