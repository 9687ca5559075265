"""Restore: the trusted encoders in place of the delivered ones, in the file's own layout.

Nothing of the vendor's tuning is left, so no backdoor is, and neither is what the vendor tuned for:
the copy is what zero-shot prompts are on the trusted backbone. The honest first choice wherever its
accuracy is enough (arXiv 2412.00727 and its kin are for those who have no trusted weights).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inspector.clip.restoring import restored
from inspector.errors import AssemblyError
from inspector.repair.encoders.case import EncoderCase
from inspector.repair.strategy import CannotRepair


@dataclass(frozen=True)
class Restore:
    """Needs neither pairs nor a trigger."""

    name: str = "restoring the reference encoders"
    keeps_weights: bool = False

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """See `EncoderStrategy.tensors`."""
        try:
            return restored(case.delivered)
        except AssemblyError as problem:
            raise CannotRepair(problem.detail) from problem
