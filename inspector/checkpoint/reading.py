"""What the reader says about one artifact, and its JSON form.

The reading crosses a trust boundary: the child that touched hostile bytes writes it, the parent
parses it. :meth:`Reading.from_json` therefore checks every type and raises ``ValueError`` instead
of trusting. Knows nothing of how a reading comes about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, get_args

from inspector.findings import NEXT_STEP, Finding, with_remedies

READER_VERSION = "4"
"""Changes whenever the same bytes would give other canonical tensors or another reading."""

CANONICAL_NAME = "canonical.safetensors"
READING_NAME = "reading.json"

Scalar = bool | int | float | str | None
GlobalSeverity = Literal["expected", "low", "high", "critical"]


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """The bytes as delivered. For a directory, ``sha256`` and ``size`` are the chosen file's."""

    name: str
    sha256: str | None
    size: int
    format: str
    """torch-zip, torch-legacy, safetensors, pickle or unknown."""


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """Where the checkpoint lay: ``outer`` is directory, zip, tar, tar.gz, gz (xz, bz2) or None."""

    outer: str | None = None
    member: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A model beside the one that was read: how to ask for it, and which loaders take it.

    ``member`` is a file of the folder or archive, ``state`` a key of the file; None where that is
    the one that was read anyway. ``family`` is None where it cannot be read.
    """

    member: str | None
    state: str | None
    family: str | None
    loaders: tuple[str, ...] = ()
    is_same: bool = False

    def with_sameness(self, is_same: bool) -> OtherModel:
        """The same, known to hold the same tensors as what was read, or not to."""
        return replace(self, is_same=is_same)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor. ``dtype`` is the safetensors code (F16, F32, …); ``nonfinite`` counts values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nonfinite: int = 0


@dataclass(frozen=True, slots=True)
class GlobalUse:
    """One ``module.name`` that a pickle refers to, how often, and how we judge it."""

    name: str
    count: int
    severity: GlobalSeverity


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that is known about an artifact without running it.

    ``canonical`` is the file name of the canonical tensors beside the reading, or None when the
    artifact could not be read; then a finding tells why. ``state`` is the key that it was
    read from, "." for the whole file; ``others`` are models that were not read.
    ``family_aliases`` are methods whose files cannot be told from ``family``'s (ProGrad is
    saved as CoOp, BadCLIP as CoCoOp). ``sandbox`` begins with the level of the child's
    sandbox; then come the layers that took hold, and with the reason those that the machine
    refused. It is empty when the child was stopped.
    """

    artifact: ArtifactInfo
    container: ContainerInfo = ContainerInfo()
    family: str | None = None
    family_aliases: tuple[str, ...] = ()
    options: Mapping[str, Scalar] = field(default_factory=dict)
    tensors: tuple[TensorInfo, ...] = ()
    globals: tuple[GlobalUse, ...] = ()
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    canonical: str | None = None
    canonical_sha256: str | None = None
    state: str = ""
    others: tuple[OtherModel, ...] = ()
    sandbox: tuple[str, ...] = ()
    reader_version: str = READER_VERSION

    def with_finding(self, finding: Finding) -> Reading:
        """The same with one finding more, at the end."""
        return replace(self, findings=(*self.findings, finding))

    def with_findings_of(self, other: Reading) -> Reading:
        """The same with the findings of another reading that it has not."""
        fresh = tuple(finding for finding in other.findings if finding not in self.findings)
        return replace(self, findings=(*self.findings, *fresh))

    def without(self, *ids: str) -> Reading:
        """The same without the findings of these ids."""
        return replace(self, findings=tuple(f for f in self.findings if f.id not in ids))

    def to_json(self) -> dict[str, object]:
        """What :meth:`from_json` reads."""
        data = asdict(self)
        data["options"] = dict(self.options)
        data["metadata"] = dict(self.metadata)
        data["findings"] = [finding.to_json() for finding in self.findings]
        return data

    @classmethod
    def from_json(cls, data: object) -> Reading:
        """Raises ``ValueError`` when anything has another type than it should."""
        box = _Box(data)
        artifact, container = _Box(box.value("artifact")), _Box(box.value("container"))
        return cls(
            artifact=ArtifactInfo(
                artifact.text("name"),
                artifact.optional_text("sha256"),
                artifact.count("size"),
                artifact.text("format"),
            ),
            container=ContainerInfo(
                container.optional_text("outer"),
                container.optional_text("member"),
                container.texts("ignored"),
            ),
            family=box.optional_text("family"),
            family_aliases=box.texts("family_aliases"),
            options=box.scalars("options"),
            tensors=tuple(
                TensorInfo(t.text("name"), t.counts("shape"), t.text("dtype"), t.count("nonfinite"))
                for t in box.boxes("tensors")
            ),
            globals=tuple(
                GlobalUse(g.text("name"), g.count("count"), g.global_severity("severity"))
                for g in box.boxes("globals")
            ),
            metadata=box.scalars("metadata"),
            findings=tuple(Finding.from_json(f.data) for f in box.boxes("findings")),
            canonical=box.optional_text("canonical"),
            canonical_sha256=box.optional_text("canonical_sha256"),
            state=box.text("state"),
            others=tuple(
                OtherModel(
                    o.optional_text("member"),
                    o.optional_text("state"),
                    o.optional_text("family"),
                    o.texts("loaders"),
                    o.flag("is_same"),
                )
                for o in box.boxes("others")
            ),
            sandbox=box.texts("sandbox"),
            reader_version=box.text("reader_version"),
        )


def reading_table(reading: Reading) -> list[tuple[str, str]]:
    """The reading as (label, value) rows for a person; the command line draws them."""
    container = reading.container
    where = f" in {container.outer}: {container.member}" if container.outer else ""
    rows = [
        ("artifact", f"{reading.artifact.name} ({reading.artifact.size} bytes)"),
        ("sha256", reading.artifact.sha256 or "-"),
        ("format", reading.artifact.format + where),
        ("family", " / ".join((reading.family or "unknown", *reading.family_aliases))),
    ]
    rows += [("key", reading.state)] if reading.state not in ("", "state_dict") else []
    rows += [("sandbox", level) for level in reading.sandbox[:1]]
    rows += [("ignored", name) for name in container.ignored]
    rows += [(f"option {key}", str(value)) for key, value in reading.options.items()]
    rows += [(f"metadata {key}", str(value)) for key, value in reading.metadata.items()]
    for tensor in reading.tensors:
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        note = f", {tensor.nonfinite} non-finite" if tensor.nonfinite else ""
        rows.append((f"tensor {tensor.name}", f"{tensor.dtype} {shape}{note}"))
    rows += [(f"global {use.name}", f"{use.severity}, {use.count}x") for use in reading.globals]
    for finding, remedy in with_remedies(reading.findings):
        note = f" ({finding.references})" if finding.references else ""
        rows.append((f"{finding.severity.label}: {finding.id}", finding.message + note))
        rows += [(NEXT_STEP, remedy)] * bool(remedy)
    return rows


def _unlike(key: str, expected: str) -> ValueError:
    return ValueError(f"{key} must be {expected}")


class _Box:
    """Typed access to one JSON object of unknown origin."""

    def __init__(self, data: object) -> None:
        if not isinstance(data, dict):
            raise _unlike("the reading", "an object")
        self.data: Mapping[str, object] = data

    def value(self, key: str) -> object:
        if key not in self.data:
            raise ValueError(f"{key} is missing")
        return self.data[key]

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str):
            raise _unlike(key, "a string")
        return value

    def optional_text(self, key: str) -> str | None:
        return None if self.value(key) is None else self.text(key)

    def flag(self, key: str) -> bool:
        value = self.value(key)
        if not isinstance(value, bool):
            raise _unlike(key, "true or false")
        return value

    def count(self, key: str) -> int:
        value = self.value(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _unlike(key, "a non-negative integer")
        return value

    def items(self, key: str) -> Sequence[object]:
        value = self.value(key)
        if not isinstance(value, list | tuple):
            raise _unlike(key, "a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(_Box({key: item}).text(key) for item in self.items(key))

    def counts(self, key: str) -> tuple[int, ...]:
        return tuple(_Box({key: item}).count(key) for item in self.items(key))

    def boxes(self, key: str) -> Iterator[_Box]:
        return (_Box(item) for item in self.items(key))

    def scalars(self, key: str) -> dict[str, Scalar]:
        result: dict[str, Scalar] = {}
        for name, value in _Box(self.value(key)).data.items():
            if not (value is None or isinstance(value, bool | int | float | str)):
                raise ValueError(f"{key}.{name} must be a scalar")
            result[name] = value
        return result

    def global_severity(self, key: str) -> GlobalSeverity:
        word = self.text(key)
        for severity in get_args(GlobalSeverity):
            if word == severity:
                return severity  # type: ignore[no-any-return]
        raise ValueError(f"{key} is no severity of a global")
