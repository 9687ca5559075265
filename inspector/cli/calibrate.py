"""`clipvet calibrate`: inspect honest models on the user's backbone, so that scores get p-values.

Only wires; the file is `inspector.calibration`'s, the work `inspector.reference.bank`'s, which
imports torch and is therefore not imported before the request is known to be right.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from inspector.calibration import FEWEST, Calibration, Method
from inspector.cli.options import (
    Backbone,
    Classes,
    DeviceOption,
    ManifestFile,
    checked_backbone,
    checked_pictures,
    read_manifest,
    resolve_device,
)
from inspector.cli.screen import note, progress_bar, show_rows
from inspector.errors import RequestError
from inspector.options import Options
from inspector.options.command_line import taking


@taking("calibrate", options=Options)
def calibrate(
    backbone: Backbone,
    options: Options,
    out: Annotated[Path, typer.Option(dir_okay=False, help="JSON file to write.")],
    classes: Classes = None,
    manifest: ManifestFile = None,
    method: Annotated[
        Method, typer.Option(help="CoCoOp for prompts that read the picture, CoOp for others.")
    ] = "CoCoOp",
    number: Annotated[
        int, typer.Option(min=FEWEST, help="Honest models; the smallest p-value is 1/(N+1).")
    ] = 20,
    device: DeviceOption = "auto",
) -> None:
    """Tune honest prompts on a backbone from unlabelled probes, inspect them, keep their scores.

    clipvet inspect --calibration FILE then gives a p-value for prompts of this method, backbone,
    profile and probes. A run that was stopped goes on where it was, from FILE.part.
    """
    parsed = read_manifest(manifest, classes)
    if parsed.classnames is None or len(parsed.classnames) < 2:
        raise RequestError("classes", "--classes or --manifest must name two classes or more")
    checked_pictures(options)
    resolved = resolve_device(device)
    from inspector.reference.bank import Order, fill

    order = Order(
        checked_backbone(backbone),
        parsed,
        method,
        options.profile,
        options.probes,
        options.in_distribution,
        number,
        options.seed,
        resolved,
        out,
    )
    # Libraries may print; standard output belongs to the result.
    with redirect_stdout(sys.stderr), progress_bar() as progress:
        made = fill(order, progress, note)
    _show(made, out)


def _show(made: Calibration, out: Path) -> None:
    scores = made.scores
    show_rows(
        [
            ("calibration", made.id),
            ("file", str(out)),
            ("models", str(len(scores))),
            (
                "lowest, median, highest score",
                f"{scores[0]:.3g}, {median(scores):.3g}, {scores[-1]:.3g}",
            ),
            ("smallest p-value", f"1/{len(scores) + 1}"),
        ]
    )
