"""Which random generators are made while something runs, in which order, and how much each drew.

Torch's generator is a Mersenne twister of whole numbers: how far it went does not depend on the CPU, but
what floats are made of it may.
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Any

import torch

LONG = 8
"""Seeds that count up so many times or more are told as one run."""


class Recorder:
    """Keeps every `torch.Generator` that is made within it."""

    def __enter__(self) -> Recorder:
        self._made: list[torch.Generator] = []
        self._real = torch.Generator
        made = self._made

        class Kept(self._real):  # type: ignore[misc, name-defined]
            """Torch's own, remembered."""

            def __init__(self, *given: Any, **named: Any) -> None:
                super().__init__()
                made.append(self)

        torch.Generator = Kept  # type: ignore[misc]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        torch.Generator = self._real  # type: ignore[misc]

    def told(self) -> list[str]:
        """Of each generator its seed and a digest of where it stands; runs of seeds in one line."""
        runs: list[list[torch.Generator]] = []
        for generator in self._made:
            last = runs[-1][-1].initial_seed() if runs else None
            if last is not None and generator.initial_seed() == last + 1:
                runs[-1].append(generator)
            else:
                runs.append([generator])
        return [line for run in runs for line in _lines(run)]


def _lines(run: list[torch.Generator]) -> list[str]:
    if len(run) < LONG:
        return [f"{one.initial_seed()}: {_digest([one])}" for one in run]
    return [f"{run[0].initial_seed()} to {run[-1].initial_seed()}: {_digest(run)}"]


def _digest(run: list[torch.Generator]) -> str:
    states = b"".join(bytes(one.get_state().numpy()) for one in run)
    return hashlib.sha256(states).hexdigest()[:16]
