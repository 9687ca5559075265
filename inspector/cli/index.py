"""`clipvet index`: make the token index of a backbone, with which `scan` names classes. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inspector.cli.options import Backbone
from inspector.cli.screen import note


def index(
    backbone: Backbone,
    out: Annotated[Path, typer.Option(dir_okay=False, help="File to write, in safetensors.")],
    name: Annotated[
        str | None, typer.Option(help="What scan shows, such as ViT-B-16/openai; default: B.")
    ] = None,
) -> None:
    """Hash every row of a local backbone's token embedding, so that scan needs the hashes only."""
    from inspector.checkpoint.source import open_source, sha256_of
    from inspector.clip.naming import token_embedding
    from inspector.clip.registry import locate
    from inspector.clip.vocabulary import build_index, save_index
    from inspector.errors import BackboneError

    table = token_embedding(backbone)
    location = locate(backbone)
    assert location.weights is not None
    with open_source(location.weights) as source:
        sha256 = sha256_of(source)
    if location.pin and location.pin != sha256:
        raise BackboneError(backbone, f"its weights have sha256 {sha256}")
    made = build_index(name or location.name, sha256, table)
    save_index(made, out)
    note(f"{out}: {len(made.hashes)} tokens of {made.name}")
