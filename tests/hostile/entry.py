"""One row of the corpus: how the file is made, what it stands for, what the reader must say.

Knows no format; the rows stand in the modules beside this one, grouped by what the adversary is
after, and together in :mod:`tests.hostile.corpus`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspector.checkpoint.reasons import REASONS
from inspector.findings import Severity

Kind = Literal["code", "malformed", "benign"]
"""``code`` would run something in somebody's loader, ``malformed`` breaks or exhausts one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``findings`` are exactly the ids that the reader reports, each perhaps several times."""

    id: str
    kind: Kind
    what: str
    stands_for: str
    build: Callable[[Path], Path]
    findings: tuple[str, ...] = ()
    canonical: bool = False
    seconds: float = 20.0
    """Wall-clock time that the whole child may take."""
    memory_mib: int = 200
    """Largest resident size of the child."""

    @property
    def worst(self) -> Severity | None:
        return max((REASONS[name].severity for name in self.findings), default=None)


def file(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    """A builder that writes ``content()`` to a file called ``name``."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content())
        return path

    return build


def code(
    identifier: str,
    what: str,
    stands_for: str,
    content: Callable[[], bytes],
    *also: str,
    name: str = "model.pth.tar-50",
) -> Entry:
    """A file that would run code; other findings may come with it."""
    findings = ("pickle-code-execution", *also)
    return Entry(identifier, "code", what, stands_for, file(name, content), findings)


def bad(
    identifier: str,
    what: str,
    stands_for: str,
    content: Callable[[], bytes],
    *findings: str,
    name: str = "model.pth.tar-50",
    canonical: bool = False,
) -> Entry:
    """A file that breaks a rule or exhausts a reader."""
    built = file(name, content)
    return Entry(identifier, "malformed", what, stands_for, built, findings, canonical)


def honest(
    identifier: str,
    what: str,
    content: Callable[[], bytes],
    *findings: str,
    name: str = "model.pth.tar-50",
) -> Entry:
    """A file that must be read, with no more than these findings."""
    return Entry(identifier, "benign", what, "false alarm", file(name, content), findings, True)
