"""What is asked for in one inspection. Torch-free; checks nothing, the stages do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspector.manifest import Manifest


@dataclass(frozen=True)
class Request:
    """`targets`: every class, or how many of those that untriggered probes are nearest to, at least
    two, because a class is judged beside others; `budget_s` in seconds.

    `probes`: "builtin", or the path of a folder or zip; `in_distribution`: they are pictures of what the
    model is for.
    `calibration`: a file that must apply; `calibrations`: a folder of which the best one is used.
    """

    backbone: str
    manifest: Manifest
    profile: str = "standard"
    probes: str = "builtin"
    in_distribution: bool = False
    targets: int | Literal["all"] = "all"
    seed: int = 0
    device: str = "auto"
    repair: bool = False
    budget_s: float | None = None
    calibration: Path | None = None
    calibrations: Path | None = None
