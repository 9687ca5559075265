"""`clipvet inspect` and `clipvet repair`: the whole inspection in this process.

Only wires: the reader (in its child), the pipeline, the screen and the exit code. Torch is imported
when there are canonical tensors to inspect, not before.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from inspector.checkpoint import Delivered, ReaderOptions, read_models, rewrite_artifact
from inspector.cli.exits import FAIL, INCONCLUSIVE, PASS, exit_of_report
from inspector.cli.options import (
    Artifact,
    AsJson,
    Backbone,
    Classes,
    Device,
    DeviceOption,
    ManifestFile,
    SandboxFloor,
    checked_backbone,
    checked_pictures,
    read_manifest,
    reader_options,
    resolve_device,
    work_folder,
)
from inspector.cli.page import write_page
from inspector.cli.screen import note, progress_bar, show_json, show_report
from inspector.errors import ArtifactError, RequestError
from inspector.files import write_json
from inspector.options import Options, Policy, Selection
from inspector.options.command_line import taking
from inspector.request import Request

_REPAIRED = "repaired.safetensors"
"""Where an inspection leaves the tensors that a repair made."""
Out = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="Folder to keep the report, as JSON and as a page, and pictures in."
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="File of clipvet calibrate; it must apply."),
]
Calibrations = Annotated[
    Path | None,
    typer.Option(
        envvar="CLIPVET_CALIBRATIONS",
        exists=True,
        file_okay=False,
        help="Folder of such files; the best that applies is used.",
    ),
]


@taking("inspect", options=Options, selection=Selection, policy=Policy)
def inspect(
    artifact: Artifact,
    backbone: Backbone,
    options: Options,
    selection: Selection,
    policy: Policy,
    classes: Classes = None,
    manifest: ManifestFile = None,
    device: DeviceOption = "auto",
    out: Out = None,
    as_json: AsJson = False,
    sandbox_floor: SandboxFloor = "plain",
    calibration: Calibration = None,
    calibrations: Calibrations = None,
) -> None:
    """Search a checkpoint for a backdoor and give a verdict with its evidence.

    Without --classes and --manifest the class names are decoded from the file.
    """
    order = Order(
        artifact,
        _request(options, backbone, manifest, classes, device, calibration, calibrations),
        reader_options(sandbox_floor, selection),
    )
    _check_out(artifact, out)
    with work_folder(out) as folder:
        report, judged = run(order, folder)
        if options.repair and out is not None:
            _write_container(order, judged, folder)
        if out is not None:
            write_page(folder)
    show_json(report) if as_json else show_report(report)
    raise typer.Exit(exit_of_report(report, policy.fail_on))


@taking("repair", options=Options, selection=Selection)
def repair(
    artifact: Artifact,
    backbone: Backbone,
    options: Options,
    selection: Selection,
    out: Annotated[
        Path,
        typer.Option(file_okay=False, help="Folder for the repaired checkpoint and the report."),
    ],
    classes: Classes = None,
    manifest: ManifestFile = None,
    device: DeviceOption = "auto",
    as_json: AsJson = False,
    sandbox_floor: SandboxFloor = "plain",
    calibration: Calibration = None,
    calibrations: Calibrations = None,
) -> None:
    """Inspect a checkpoint, repair what is found, and write it in the vendor's own container.

    --labelled lets it measure accuracy: without, no repair is called one.
    """
    wanted = replace(options, repair=True)
    order = Order(
        artifact,
        _request(wanted, backbone, manifest, classes, device, calibration, calibrations),
        reader_options(sandbox_floor, selection),
    )
    _check_out(artifact, out)
    with work_folder(out) as folder:
        report, judged = run(order, folder)
        written = _write_container(order, judged, folder)
        write_page(folder)
    show_json(report) if as_json else show_report(report)
    raise typer.Exit(_exit_of_repair(report, written))


@dataclass(frozen=True, slots=True)
class Order:
    """A request, the file that it is about, and how that is read."""

    artifact: Path
    request: Request
    reader: ReaderOptions


def _check_out(artifact: Path, out: Path | None) -> None:
    """Raises RequestError where a repair would write over the delivered file."""
    if out is not None and artifact.resolve() == (out / _REPAIRED).resolve():
        raise RequestError("out", f"{_REPAIRED} in it is the checkpoint itself, which stays")


def _request(
    options: Options, backbone: str, manifest: Path | None, classes: Path | None, device: Device,
    calibration: Path | None, calibrations: Path | None,
) -> Request:  # fmt: skip
    checked_pictures(options)
    return Request(
        **vars(options),
        backbone=checked_backbone(backbone),
        manifest=read_manifest(manifest, classes),
        device=device,
        calibration=calibration,
        calibrations=calibrations,
    )


def run(order: Order, folder: Path) -> tuple[dict[str, Any], Delivered]:
    """Read and inspect; the report, and the model that it is about.

    The report also lies in `folder`, next to its pictures.
    """
    with TemporaryDirectory(prefix="clipvet-") as scratch:
        models = read_models(order.artifact, Path(scratch), order.reader)
        if models[0].canonical is not None:
            report, place = _inspect_tensors(order.request, models, folder)
            return report, models[place]
    from inspector.report import static_report

    report = static_report(models[0].reading, order.request.to_json())
    write_json(folder / "report.json", report)
    return report, models[0]


def _inspect_tensors(
    request: Request, models: list[Delivered], folder: Path
) -> tuple[dict[str, Any], int]:
    from inspector.run.deliveries import inspect_models

    here = replace(request, device=resolve_device(request.device))
    # Libraries may print; standard output belongs to the report.
    with redirect_stdout(sys.stderr), progress_bar() as progress:
        sources = [(model.reading, model.canonical) for model in models]
        return inspect_models(here, sources, folder, progress)


def _write_container(order: Order, judged: Delivered, folder: Path) -> Path | None:
    """The vendor's own container with the repaired values, where there are such."""
    repaired = folder / _REPAIRED
    if not repaired.is_file():
        return None
    member = judged.reading.container.member
    path = folder / f"repaired-{Path(member or order.artifact.name).name}"
    try:
        rewrite_artifact(order.artifact, repaired, path, options=judged.options)
    except ArtifactError as problem:
        # The tensors are there and the report is told; a model in several files has no container.
        note(f"no repaired file in the vendor's own container: {problem.detail}")
        return None
    note(f"repaired checkpoint: {path}")
    return path


_BY_OUTCOME = {"repaired": PASS, "unproved": INCONCLUSIVE, "failed": FAIL}


def _exit_of_repair(report: dict[str, Any], written: Path | None) -> int:
    """Pass where the checkpoint is usable now: it was clean, or its repair is shown to work."""
    if report["verdict"] == "clean":
        return PASS
    if written is not None and report["repair"] is not None:
        return _BY_OUTCOME[report["repair"]["outcome"]]
    code = exit_of_report(report)
    return code if code in (FAIL, INCONCLUSIVE) else INCONCLUSIVE
