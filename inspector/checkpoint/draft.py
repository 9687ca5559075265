"""A reading in the making, and the guard that turns every failure on hostile bytes into a finding.

The draft keeps what was learnt before an error: a pickle that ends in garbage after its payload
still names the payload. Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from inspector.checkpoint.limits import Limits, Role
from inspector.checkpoint.pickles.globals import summarise
from inspector.checkpoint.pickles.walker import Ledger
from inspector.checkpoint.reading import (
    CANONICAL_NAME,
    ArtifactInfo,
    ContainerInfo,
    OtherModel,
    Reading,
    Scalar,
    TensorInfo,
)
from inspector.checkpoint.reasons import REASONS, report
from inspector.errors import ArtifactError, TransientError
from inspector.findings import Finding


@dataclass(slots=True)
class Draft:
    """What is known so far; the fields are those of :class:`Reading`."""

    name: str
    limits: Limits
    ledger: Ledger
    role: Role = "artifact"
    sha256: str | None = None
    size: int = 0
    format: str = "unknown"
    container: ContainerInfo = field(default_factory=ContainerInfo)
    family: str | None = None
    aliases: tuple[str, ...] = ()
    options: dict[str, Scalar] = field(default_factory=dict)
    tensors: tuple[TensorInfo, ...] = ()
    metadata: dict[str, Scalar] = field(default_factory=dict)
    remarks: list[Finding] = field(default_factory=list)
    canonical_sha256: str | None = None
    state: str = ""
    others: list[OtherModel] = field(default_factory=list)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of the globals and all others, the gravest first."""
        every = [*summarise(self.ledger)[1], *self.remarks]
        return tuple(sorted(every, key=lambda finding: -finding.severity))

    @property
    def is_stopped(self) -> bool:
        """Whether a finding forbids canonical tensors."""
        return any(REASONS[finding.id].stops for finding in self.findings)

    def add(self, identifier: str, message: str, remedy: str = "") -> None:
        """Add the finding of row ``identifier``, as :func:`report` makes it."""
        self.remarks.append(report(identifier, message, remedy))

    def guard(self, work: Callable[[], None]) -> None:
        """Do ``work`` on hostile bytes; every failure that these can cause becomes a finding.

        Raises:
            TransientError, OSError: the machine is at fault, not the bytes.
        """
        try:
            work()
        except ArtifactError as error:
            self.add(error.finding_id, error.detail, error.remedy)
        except MemoryError:
            limit = self.limits.address_space_bytes
            self.add("limit-exceeded", f"memory: more than {limit} bytes needed")
        except (TransientError, OSError):
            raise
        except Exception as error:
            # A reader that breaks on some bytes must say so instead of vanishing.
            self.add("reader-error", f"{type(error).__name__} while reading")

    def finish(self) -> Reading:
        """The reading of what is known; no canonical tensors unless they were written whole."""
        return Reading(
            artifact=ArtifactInfo(self.name, self.sha256, self.size, self.format),
            container=self.container,
            family=self.family,
            family_aliases=self.aliases,
            options=self.options,
            tensors=self.tensors,
            globals=summarise(self.ledger)[0],
            metadata=self.metadata,
            findings=self.findings,
            canonical=CANONICAL_NAME if self.canonical_sha256 else None,
            canonical_sha256=self.canonical_sha256,
            state=self.state,
            others=tuple(self.others),
        )
