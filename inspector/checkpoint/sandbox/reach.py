"""What the reading child may reach of the file system: its input, and one directory for results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reach:
    """Absolute paths without links. ``readable`` are files or directories, ``writable`` is one.

    Everything else is out of reach wherever a layer can see to it.
    """

    readable: tuple[Path, ...]
    writable: Path
