"""The exception tree of the inspection core.

    InspectorError              kind = "bug": our own fault, not worth a retry
    ├── ArtifactError           kind = "customer": the delivered file is at fault; becomes a finding
    │   ├── UnsupportedFormat   a file that we recognise, or do not, and cannot read
    │   ├── MalformedArtifact   a file that breaks the rules of its own format
    │   ├── LimitExceeded       a resource limit of the reader was reached
    │   ├── ShapeMismatch       a tensor has another shape than its family demands
    │   ├── UnknownFamily       the keys belong to no family that we read
    │   ├── AmbiguousFamily     the shapes fit a family that we cannot tell from another
    │   └── UnsafePickle        the file tries to run code
    ├── AssemblyError           kind = "customer": file, manifest and backbone do not fit
    │   ├── BackboneMismatch    the file was tuned on another backbone
    │   └── ClassListMismatch   the manifest names another number of classes
    ├── BackboneError           kind = "customer": the named backbone cannot be used
    ├── RequestError            kind = "customer": a parameter of the request is wrong
    │   └── ManifestError       the manifest is not what it should be
    ├── NumericalError          kind = "customer": an optimisation became NaN or infinite
    ├── BudgetExceeded          kind = "customer": the time budget ran out
    ├── SandboxTooWeak          kind = "bug": this machine cannot cage the reader as demanded
    └── TransientError          kind = "retry": the machine is at fault, the same call may succeed
        ├── ReaderCrashed       the reading child was killed or died
        └── StorageFull         no space left while writing a result

Other packages add leaves. Exceptions carry fields, never only text: callers decide what to show.
This module knows nothing of HTTP, jobs or exit codes. The shape (errors that carry resource, limit
and actual value) follows fickling's ``ResourceExhaustionError``.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from inspector.findings import Finding, Severity

FaultKind = Literal["customer", "retry", "bug"]

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
MACHINE_LACKS = (
    errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EROFS, errno.ESTALE
)  # fmt: skip
"""Error numbers by which a machine says what it lacks, whoever asks it for something."""


class InspectorError(Exception):
    """Root of everything that the inspection core raises on purpose."""

    kind: ClassVar[FaultKind] = "bug"


class ArtifactError(InspectorError):
    """The delivered file is at fault.

    ``finding_id`` names a row of :mod:`inspector.checkpoint.reasons`; ``detail`` is one sentence
    for the customer, ``remedy`` what to do next where the finding's own row does not say it best.
    """

    kind: ClassVar[FaultKind] = "customer"

    def __init__(self, finding_id: str, detail: str, remedy: str = "") -> None:
        super().__init__(f"{finding_id}: {detail}")
        self.finding_id = finding_id
        self.detail = detail
        self.remedy = remedy


class UnsupportedFormat(ArtifactError):
    """The file is not a checkpoint, or one of a kind that we do not read."""


class MalformedArtifact(ArtifactError):
    """The file breaks a rule of its own format."""


class LimitExceeded(ArtifactError):
    """A limit of the reader was reached.

    ``limit`` and ``actual`` share the unit of ``resource``.
    """

    def __init__(self, resource: str, limit: int, actual: int, remedy: str = "") -> None:
        detail = f"{resource}: {actual} is over the limit of {limit}"
        super().__init__("limit-exceeded", detail, remedy)
        self.resource = resource
        self.limit = limit
        self.actual = actual


class ShapeMismatch(ArtifactError):
    """Tensor ``path`` has shape ``actual`` where the family demands ``expected``."""

    def __init__(self, path: str, expected: str, actual: Sequence[int]) -> None:
        shape = "x".join(str(size) for size in actual) or "scalar"
        super().__init__("shape-mismatch", f"{path} has shape {shape}, expected {expected}")
        self.path = path
        self.expected = expected
        self.actual = tuple(actual)


class UnknownFamily(ArtifactError):
    """The keys found belong to no supported family."""

    def __init__(
        self, keys: Sequence[str], supported: Sequence[str], why: str = "", remedy: str = ""
    ) -> None:
        shown = ", ".join(keys[:24]) + (f", … ({len(keys)} keys)" if len(keys) > 24 else "")
        reason = f"{why}; " if why else ""
        super().__init__(
            "unknown-family",
            f"{reason}keys found: {shown or 'none'}; supported families: {', '.join(supported)}",
            remedy,
        )
        self.keys = tuple(keys)
        self.supported = tuple(supported)


class AmbiguousFamily(ArtifactError):
    """Several families fit the file, and nothing in the file decides."""

    def __init__(self, candidates: Sequence[str], why: str, remedy: str = "") -> None:
        super().__init__("ambiguous-family", f"{why}; candidates: {', '.join(candidates)}", remedy)
        self.candidates = tuple(candidates)


class UnsafePickle(ArtifactError):
    """The file tries to run code; ``findings`` name the globals."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("pickle-code-execution", "; ".join(f.message for f in findings))
        self.findings = tuple(findings)


class TransientError(InspectorError):
    """The machine is at fault; the same call may succeed later."""

    kind: ClassVar[FaultKind] = "retry"


class ReaderCrashed(TransientError):
    """The reading child ended without a result.

    ``returncode`` is that of :class:`subprocess.Popen` (negative: the signal); ``log`` is the end
    of the child's standard error, which may name files of the machine.
    """

    def __init__(self, returncode: int, log: str) -> None:
        super().__init__(f"the reading child ended with {returncode}")
        self.returncode = returncode
        self.log = log


class StorageFull(TransientError):
    """No space, quota or permission left to write ``path``; nothing half-written remains."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot write {path.name}: {reason}")
        self.path = path
        self.reason = reason


class SandboxTooWeak(InspectorError):
    """The reader's sandbox stays below the level that the operator demands; nothing was read.

    ``layers`` are those that took hold and, with the reason, those that the machine refused.
    """

    def __init__(self, floor: str, level: str, layers: Sequence[str]) -> None:
        super().__init__(
            f"the reader's sandbox reaches the level {level!r} here, below the floor {floor!r}; "
            f"nothing was read. It has: {'; '.join(layers)}"
        )
        self.floor = floor
        self.level = level
        self.layers = tuple(layers)


class BackboneError(InspectorError):
    """The named backbone cannot be resolved, read or trusted; the buyer chose it."""

    kind: ClassVar[FaultKind] = "customer"

    def __init__(self, spec: str, detail: str) -> None:
        super().__init__(f"backbone {spec!r}: {detail}")
        self.spec = spec
        self.detail = detail


class AssemblyError(InspectorError):
    """File, manifest and backbone do not make a classifier together.

    ``finding_id`` names the finding that the report shows in its place, ``detail`` is its message
    and ``remedy`` its remedy, where the finding's own row does not say it best.
    """

    kind: ClassVar[FaultKind] = "customer"

    def __init__(
        self, detail: str, finding_id: str = "assembly-impossible", remedy: str = ""
    ) -> None:
        super().__init__(f"{finding_id}: {detail}")
        self.finding_id = finding_id
        self.detail = detail
        self.remedy = remedy

    @property
    def finding(self) -> Finding:
        """The same as a finding: the model cannot be judged, which casts no suspicion on it."""
        return Finding(self.finding_id, Severity.MEDIUM, self.detail, self.remedy)


class BackboneMismatch(AssemblyError):
    """The file was tuned on another backbone than the one it is to be assembled with."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail, "backbone-mismatch", remedy)


class ClassListMismatch(AssemblyError):
    """The manifest names another number of classes than the file was tuned for."""

    def __init__(self, in_manifest: int, in_file: int) -> None:
        super().__init__(
            f"the manifest names {in_manifest} classes, the file was tuned for {in_file}",
            "class-list-mismatch",
        )
        self.in_manifest = in_manifest
        self.in_file = in_file


class NumericalError(InspectorError):
    """An optimisation produced NaN or infinity; ``where`` names the stage."""

    kind: ClassVar[FaultKind] = "customer"

    def __init__(self, where: str) -> None:
        super().__init__(f"NaN or infinity during {where}")
        self.where = where


class RequestError(InspectorError):
    """A parameter of the request is wrong; ``field`` names it."""

    kind: ClassVar[FaultKind] = "customer"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class ManifestError(RequestError):
    """The manifest, or the list of classes in its place, is not what it should be."""


class BudgetExceeded(InspectorError):
    """The time budget ran out before the inspection was complete."""

    kind: ClassVar[FaultKind] = "customer"
