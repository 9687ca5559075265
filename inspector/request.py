"""What is asked for in one inspection. Torch-free; checks nothing, the stages do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspector.manifest import Manifest


@dataclass(frozen=True)
class Request:
    """`targets`: every class, or so many of the most suspicious; `budget_s` in seconds.

    `probes`: "builtin", or the path of a folder or zip; `cache`: where references are kept.
    """

    backbone: str
    manifest: Manifest
    profile: str = "standard"
    probes: str = "builtin"
    targets: int | Literal["all"] = "all"
    seed: int = 0
    device: str = "auto"
    repair: bool = False
    cache: Path | None = None
    budget_s: float | None = None
