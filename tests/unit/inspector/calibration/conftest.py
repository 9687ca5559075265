"""A calibration and the inspection that it applies to."""

from __future__ import annotations

from inspector.calibration import Calibration, ClassNames, Inspected, Probes, Weights, made
from inspector.profiles import PROFILES

WEIGHTS = Weights("ab" * 32, (0.5, 0.4, 0.3), (0.2, 0.2, 0))
"""A zero that is an integer, as a manifest may have it."""
NAMES = ("cat", "stop_sign")
INSPECTED = Inspected(
    WEIGHTS,
    "CoCoOp",
    PROFILES["quick"],
    Probes("cd" * 32, (8, 4)),
    False,
    ClassNames.of(NAMES),
    seed=3,
    is_exhaustive=True,
)


def bank(
    scores: tuple[float, ...] = (0.3, -0.1, 0.0, 0.2, 0.1),
    names: tuple[str, ...] = NAMES,
    seed: int = 3,
    profile: str = "quick",
    probes: str = "cd" * 32,
) -> Calibration:
    """Model i has the recipe {"seed": i}."""
    models = [(score, {"seed": i, "rate": 0.1}) for i, score in enumerate(scores)]
    here = WEIGHTS, ClassNames.of(names)
    return made(here, "CoCoOp", PROFILES[profile], Probes(probes, (8, 4)), seed, models)
