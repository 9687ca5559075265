"""`clipvet logits`: what the assembled classifier answers to given pixels.

The way to prove by hand that a checkpoint is read right: compare with the vendor's own logits.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from inspector.checkpoint import read_artifact
from inspector.cli.exits import INCONCLUSIVE, PASS, exit_of_reading
from inspector.cli.options import (
    Artifact,
    Backbone,
    Classes,
    DeviceOption,
    ManifestFile,
    SandboxFloor,
    checked_backbone,
    read_manifest,
    reader_options,
    resolve_device,
)
from inspector.cli.screen import note, note_findings
from inspector.errors import AssemblyError, RequestError
from inspector.options import Selection
from inspector.options.command_line import taking

if TYPE_CHECKING:
    from torch import Tensor

    from inspector.clip.classifier import Classifier

Images = Annotated[
    Path,
    typer.Option(exists=True, dir_okay=False, help='safetensors; "pixels" N x 3 x H x W in [0,1].'),
]
Out = Annotated[Path, typer.Option(help='safetensors to write; "logits" N x K in fp32.')]
Batch = Annotated[int, typer.Option(min=1, help="Images encoded at once; does not change results.")]


@taking("read", selection=Selection)
def logits(
    artifact: Artifact,
    backbone: Backbone,
    images: Images,
    out: Out,
    selection: Selection,
    manifest: ManifestFile = None,
    classes: Classes = None,
    device: DeviceOption = "auto",
    batch: Batch = 64,
    sandbox_floor: SandboxFloor = "plain",
) -> None:
    """Write the logits of the assembled classifier for given images."""
    parsed = read_manifest(manifest, classes)
    checked_backbone(backbone)
    options = reader_options(sandbox_floor, selection)
    with TemporaryDirectory(prefix="clipvet-") as scratch:
        reading = read_artifact(artifact, Path(scratch), options=options)
        note_findings(reading.findings)
        if reading.canonical is None:
            raise typer.Exit(exit_of_reading(False, reading.findings))
        from inspector.clip.backbone import load_backbone
        from inspector.clip.proof import assemble_checked

        loaded = load_backbone(backbone, resolve_device(device))
        try:
            canonical = Path(scratch) / reading.canonical
            assembly, level = assemble_checked(reading, canonical, parsed, loaded)
        except AssemblyError as problem:
            note_findings([problem.finding])
            raise typer.Exit(INCONCLUSIVE) from problem
    note_findings(assembly.findings)
    if level is not None:
        note(f"{level.name}: {level.reason}")
    pixels = _pixels(images, loaded.image_size)
    _write(out, _compute(assembly.classifier, pixels, batch))
    note(f"{assembly.family}, {assembly.classes.count} classes, {len(pixels)} images: {out}")
    raise typer.Exit(INCONCLUSIVE if assembly.classes.match is False else PASS)


def _pixels(path: Path, size: int) -> Tensor:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as problem:
        raise RequestError("images", f"cannot read {path.name}: {problem}") from problem
    if "pixels" not in tensors:
        raise RequestError("images", f'{path.name} has no tensor "pixels"')
    pixels = tensors["pixels"]
    if pixels.ndim != 4 or pixels.shape[1:] != (3, size, size) or not pixels.is_floating_point():
        shape = "x".join(map(str, pixels.shape))
        raise RequestError(
            "images", f"pixels are {pixels.dtype} {shape}, needed are floats Nx3x{size}x{size}"
        )
    if len(pixels) and not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise RequestError("images", "pixels must lie in [0,1]; normalisation is done here")
    return pixels.to(torch.float32)


def _compute(classifier: Classifier, pixels: Tensor, batch: int) -> Tensor:
    import torch

    classifier.requires_grad_(False)
    device = classifier.backbone.device
    with torch.no_grad():
        parts = [classifier(part.to(device)).cpu() for part in torch.split(pixels, batch)]
    return torch.cat(parts)


def _write(path: Path, values: Tensor) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"logits": values.contiguous()}, path)
