"""Every seed of the detector that is made from the user's, by what it is for.

What one of these draws is fixed: a calibration's scores and a report's figures rest on it.
"""

from __future__ import annotations

from typing import Literal

Purpose = Literal[
    "sweep", "random triggers", "inversion", "unlearning", "repair check", "benign model",
]  # fmt: skip


def derive_seed(seed: int, purpose: Purpose, index: int = 0) -> int:
    """The seed of one generator, or of one test.

    Args:
        seed: the user's; of an inversion that of its sweep.
        index: the number of the sweep or of the benign model, from 0, or
            the class that is inverted.
    """
    match purpose:
        case "sweep":
            return seed + index
        case "random triggers":
            return seed + 7
        case "inversion":
            return seed * 100_003 + index
        case (
            "unlearning"
        ):  # The random triggers that judge a repair must not be those that taught it.
            return seed + 99
        case "repair check":
            return seed + 100
        case "benign model":
            return seed * 1_000_003 + index
