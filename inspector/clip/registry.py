"""Where a backbone's name leads: a folder, a file, or a hub tag. Torch-free, opens nothing.

Shared by the loader of backbones and by the static scan, which only needs the token embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
REGISTERED = {"pocket": Path(__file__).parent / "pocket"}
"""Backbones that come with clipvet, by id."""


@dataclass(frozen=True, slots=True)
class Location:
    """`name` without the pin; `pin` the sha256 demanded of the weight file, or "".

    At most one of `folder` (open_clip layout) and `file` (OpenAI layout) is set; with neither the
    name is meant for the hub.
    """

    name: str
    pin: str
    folder: Path | None = None
    file: Path | None = None

    @property
    def weights(self) -> Path | None:
        """The weight file, where the name leads to one on this machine."""
        return self.folder / WEIGHTS if self.folder else self.file


def locate(spec: str) -> Location:
    """Take `NAME[@sha256:HEX]` apart; a registered id wins over a folder of the same name."""
    name, _, pin = spec.partition("@sha256:")
    path = REGISTERED.get(name, Path(name).expanduser())
    if path.is_dir():
        return Location(name, pin.lower(), folder=path)
    if path.is_file():
        return Location(name, pin.lower(), file=path)
    return Location(name, pin.lower())
