"""What a fuzz target is: its seeds, its mutations, and the function that must not fail.

Knows no format and no fuzzer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from inspector.checkpoint.reasons import REASONS
from inspector.checkpoint.source import Source
from inspector.errors import ArtifactError

_LONGEST_DETAIL = 5000
Mutate = Callable[[bytes, Random, int], bytes]


class Disagreement(AssertionError):
    """Our reader and an independent one understand the same bytes differently."""


@dataclass(frozen=True, slots=True)
class Target:
    """One entry point of the reader.

    ``check`` gives whether the input was accepted; it raises on a broken promise: another exception
    than ``ArtifactError`` comes through, a difference is a :class:`Disagreement`. ``mutate`` gives
    an input of at most so many bytes. ``longest`` is in bytes; longer inputs only cost time.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    check: Callable[[bytes], bool]
    mutate: Mutate
    longest: int


class Scratch:
    """One file in memory that is given new content for every input."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("fuzz")

    def source(self, data: bytes) -> Source:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, data, 0)
        return Source(self.descriptor, len(data))


def check_refusal(error: ArtifactError) -> None:
    """A refusal must be one of the known findings, in one short line that a screen can show."""
    if error.finding_id not in REASONS:
        raise Disagreement(f"unknown finding {error.finding_id}")
    if not error.detail.isprintable() or len(error.detail) > _LONGEST_DETAIL:
        raise Disagreement(f"a detail nobody can show: {error.detail!a}"[:600])
