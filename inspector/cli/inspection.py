"""`clipvet inspect` and `clipvet repair`: the whole inspection in this process.

Only wires: the reader (in its child), the pipeline, the screen and the exit code. Torch is imported
when there are canonical tensors to inspect, not before.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from inspector.checkpoint import Delivered, ReaderOptions, read_models, rewrite_artifact
from inspector.cli.exits import FAIL, INCONCLUSIVE, PASS, FailOn, exit_of_report
from inspector.cli.options import (
    Artifact,
    AsJson,
    Backbone,
    Classes,
    Device,
    DeviceOption,
    InDistribution,
    ManifestFile,
    Member,
    Probes,
    Profile,
    ProfileName,
    SandboxFloor,
    Seed,
    State,
    checked_backbone,
    checked_probes,
    read_manifest,
    resolve_device,
    work_folder,
)
from inspector.cli.screen import note, progress_bar, show_json, show_report
from inspector.errors import RequestError
from inspector.files import write_json
from inspector.manifest import Manifest

Targets = Annotated[
    str,
    typer.Option(
        metavar="N|all",
        help="all, or N (2 or more): only the N classes that untriggered probes are nearest to; "
        "the verdict is then never clean.",
    ),
]
Out = Annotated[
    Path | None, typer.Option(file_okay=False, help="Folder to keep the report and pictures in.")
]
Budget = Annotated[
    float | None,
    typer.Option("--budget", min=0, help="Seconds, after which the report is inconclusive."),
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
FailOnOption = Annotated[FailOn, typer.Option(help="The mildest verdict that fails.")]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for."""

    artifact: Path
    backbone: str
    manifest: Manifest
    profile: ProfileName
    probes: str
    in_distribution: bool
    targets: int | Literal["all"]
    seed: int
    device: Device
    repair: bool
    budget_s: float | None
    reader: ReaderOptions
    calibration: Path | None = None
    calibrations: Path | None = None


def inspect(
    artifact: Artifact,
    backbone: Backbone,
    classes: Classes = None,
    manifest: ManifestFile = None,
    profile: Profile = "standard",
    probes: Probes = "builtin",
    in_distribution: InDistribution = False,
    targets: Targets = "all",
    seed: Seed = 0,
    device: DeviceOption = "auto",
    out: Out = None,
    as_json: AsJson = False,
    repair: Annotated[bool, typer.Option("--repair", help="Also try to repair.")] = False,
    fail_on: FailOnOption = "suspicious",
    budget_s: Budget = None,
    sandbox_floor: SandboxFloor = "plain",
    calibration: Calibration = None,
    calibrations: Calibrations = None,
    member: Member = None,
    state: State = None,
) -> None:
    """Search a checkpoint for a backdoor and give a verdict with its evidence.

    Without --classes and --manifest the class names are decoded from the file.
    """
    stated = read_manifest(manifest, classes)
    wish = Wish(
        artifact, checked_backbone(backbone), stated, profile, checked_probes(probes), in_distribution,
        _targets(targets), seed, device, repair, budget_s, ReaderOptions(floor=sandbox_floor, member=member, state=state),
        calibration, calibrations,
    )  # fmt: skip
    with work_folder(out) as folder:
        report, judged = run(wish, folder)
        if repair and out is not None:
            _write_container(wish, judged, folder)
    show_json(report) if as_json else show_report(report)
    raise typer.Exit(exit_of_report(report, fail_on))


def repair(
    artifact: Artifact,
    backbone: Backbone,
    out: Annotated[
        Path,
        typer.Option(file_okay=False, help="Folder for the repaired checkpoint and the report."),
    ],
    classes: Classes = None,
    manifest: ManifestFile = None,
    profile: Profile = "standard",
    probes: Probes = "builtin",
    in_distribution: InDistribution = False,
    targets: Targets = "all",
    seed: Seed = 0,
    device: DeviceOption = "auto",
    as_json: AsJson = False,
    budget_s: Budget = None,
    sandbox_floor: SandboxFloor = "plain",
    calibration: Calibration = None,
    calibrations: Calibrations = None,
    member: Member = None,
    state: State = None,
) -> None:
    """Inspect a checkpoint, unlearn what is found, and write it in the vendor's own container."""
    stated = read_manifest(manifest, classes)
    wish = Wish(
        artifact, checked_backbone(backbone), stated, profile, checked_probes(probes), in_distribution,
        _targets(targets), seed, device, True, budget_s, ReaderOptions(floor=sandbox_floor, member=member, state=state),
        calibration, calibrations,
    )  # fmt: skip
    with work_folder(out) as folder:
        report, judged = run(wish, folder)
        written = _write_container(wish, judged, folder)
    show_json(report) if as_json else show_report(report)
    raise typer.Exit(_exit_of_repair(report, written))


def run(wish: Wish, folder: Path) -> tuple[dict[str, Any], Delivered]:
    """Read and inspect; the report, and the model that it is about.

    The report also lies in `folder`, next to its pictures.
    """
    with TemporaryDirectory(prefix="clipvet-") as scratch:
        models = read_models(wish.artifact, Path(scratch), wish.reader)
        if models[0].canonical is not None:
            report, place = _inspect_tensors(wish, models, folder)
            return report, models[place]
    from inspector.report import static_report

    asked = {"profile": wish.profile, "seed": wish.seed, "backbone": wish.backbone}
    report = static_report(models[0].reading, asked)
    write_json(folder / "report.json", report)
    return report, models[0]


def _inspect_tensors(
    wish: Wish, models: list[Delivered], folder: Path
) -> tuple[dict[str, Any], int]:
    from inspector.run.deliveries import inspect_models
    from inspector.run.pipeline import Request

    request = Request(
        backbone=wish.backbone,
        manifest=wish.manifest,
        profile=wish.profile,
        probes=wish.probes,
        in_distribution=wish.in_distribution,
        targets=wish.targets,
        seed=wish.seed,
        device=resolve_device(wish.device),
        repair=wish.repair,
        budget_s=wish.budget_s,
        calibration=wish.calibration,
        calibrations=wish.calibrations,
    )
    # Libraries may print; standard output belongs to the report.
    with redirect_stdout(sys.stderr), progress_bar() as progress:
        sources = [(model.reading, model.canonical) for model in models]
        return inspect_models(request, sources, folder, progress)


def _targets(given: str) -> int | Literal["all"]:
    if given == "all":
        return "all"
    if not given.isdecimal() or int(given) < 2:
        raise RequestError("targets", f"{given!r} is neither all nor a number of classes from 2 on")
    return int(given)


def _write_container(wish: Wish, judged: Delivered, folder: Path) -> Path | None:
    """The vendor's own container with the repaired values, where there are such."""
    repaired = folder / "repaired.safetensors"
    if not repaired.is_file():
        return None
    member = judged.reading.container.member
    path = folder / f"repaired-{Path(member or wish.artifact.name).name}"
    rewrite_artifact(wish.artifact, repaired, path, options=judged.options)
    note(f"repaired checkpoint: {path}")
    return path


def _exit_of_repair(report: dict[str, Any], written: Path | None) -> int:
    """Pass where the checkpoint is usable now: it was clean, or the repair is shown to have worked."""
    if report["verdict"] == "clean":
        return PASS
    if written is not None and report["repair"] is not None:
        return PASS if report["repair"]["succeeded"] else FAIL
    code = exit_of_report(report)
    return code if code in (FAIL, INCONCLUSIVE) else INCONCLUSIVE
