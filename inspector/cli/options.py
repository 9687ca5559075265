"""Options that several commands share, and reading the files that they name. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from inspector.checkpoint import ReaderOptions
from inspector.checkpoint.levels import Level
from inspector.clip.registry import locate
from inspector.errors import ManifestError, RequestError
from inspector.manifest import Manifest, parse_class_list
from inspector.options import Options, Selection, specs

Device = Literal["auto", "cpu", "cuda"]

Artifact = Annotated[
    Path,
    typer.Argument(
        exists=True, metavar="ARTIFACT", help="Checkpoint file, archive or Dassl folder."
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        metavar="B",
        help="pocket, a name (ViT-B/16, ViT-B-16/laion2b_s34b_b88k, hf-hub:ORG/NAME), a folder of "
        "open_clip's or Hugging Face's, or a file (OpenAI's .pt, a state_dict, safetensors); "
        "@sha256:HEX behind it pins the weights.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Class names in label order, one a line."),
]
ManifestFile = Annotated[
    Path | None,
    typer.Option("--manifest", exists=True, dir_okay=False, help="JSON manifest of the vendor."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
SandboxFloor = Annotated[
    Level,
    typer.Option(
        envvar="CLIPVET_SANDBOX_FLOOR",
        help="Read nothing where the reader cannot be caged at least so well.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def read_manifest(manifest: Path | None, classes: Path | None) -> Manifest:
    """What the manifest states; `classes` takes the place of its class names.

    Raises:
        ManifestError: a file that cannot be read, is no JSON or states something impossible.
    """
    data = _json_object(manifest) if manifest else {}
    names = parse_class_list(_text("classes", classes)) if classes else None
    return Manifest.parse(data, names, folder=manifest.parent if manifest else Path())


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(_text("manifest", path))
    except ValueError as problem:
        raise ManifestError("manifest", f"{path.name} is no JSON: {problem}") from problem
    if not isinstance(data, dict):
        raise ManifestError("manifest", f"{path.name} is no JSON object")
    return data


def _text(field: str, path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ManifestError(field, f"cannot read {path.name}: {problem}") from problem


def reader_options(floor: Level, selection: Selection) -> ReaderOptions:
    """How the reader's child is to be caged, and what of the artifact it reads."""
    return ReaderOptions(floor=floor, member=selection.member, state=selection.state)


def resolve_device(device: str) -> str:
    """`auto` is CUDA where there is one.

    Raises RequestError when it is demanded and is not there.
    """
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise RequestError("device", "this machine has no CUDA device that torch can use")
    return "cpu"


def checked_pictures(options: Options) -> None:
    """Raises RequestError, which names the option, for pictures that are not there."""
    for spec in specs(Options):
        given = getattr(options, spec.name)
        if spec.is_pictures and given != spec.default and not Path(given).exists():
            what = "no" if spec.default is None else f"neither {spec.default} nor a"
            forms = " or ".join(("folder", *spec.archives))
            raise RequestError(spec.name, f"{given!r} is {what} {forms}")


def checked_backbone(given: str) -> str:
    """Raises BackboneError for what is no name, folder or file: a slip of the pen is no verdict."""
    locate(given)
    return given


@contextmanager
def work_folder(out: Path | None) -> Iterator[Path]:
    """`out`, made if missing, or a folder that is removed afterwards."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        yield out
        return
    with TemporaryDirectory(prefix="clipvet-") as folder:
        yield Path(folder)
