"""`clipvet index`: make the token index of a backbone, with which `scan` names classes.

Torch-free.
"""

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
    from inspector.clip.naming import token_embedding
    from inspector.clip.registry import locate
    from inspector.clip.vocabulary import build_index, save_index
    from inspector.clip.weightfiles import sha256_of_weights

    table = token_embedding(backbone)
    location = locate(backbone)
    made = build_index(name or location.name, sha256_of_weights(location), table)
    save_index(made, out)
    note(f"{out}: {len(made.hashes)} tokens of {made.name}")
