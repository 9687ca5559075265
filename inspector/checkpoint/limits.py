"""Every limit of the reader, in one place, with its unit.

Knows numbers only. The defaults are far above what the research codes write (their prompt files
are 0.1 to 2 MB with fewer than 20,000 opcodes, their whole-model files 0.3 to 0.6 GB) and low
enough that a hostile file costs seconds and megabytes, not minutes and gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from inspector.checkpoint.levels import Level

MIB = 1024 * 1024

Role = Literal["artifact", "backbone"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one artifact may cost. Sizes in bytes, times in seconds, the rest are counts."""

    artifact_bytes: int = 2048 * MIB
    """Size of the file, of the member chosen from an outer archive, and of a decompressed tar."""
    archive_members: int = 20_000
    """Members of a zip or tar, files below a directory."""
    pickle_bytes: int = 16 * MIB
    opcodes: int = 2_000_000
    memo_entries: int = 1_000_000
    mark_depth: int = 1_000
    stack_items: int = 1_000_000
    string_bytes: int = MIB
    integer_bytes: int = 256
    globals: int = 1_000
    """Distinct globals that a pickle may name."""
    header_bytes: int = 8 * MIB
    """The JSON header of a safetensors file."""
    tensors: int = 10_000
    dimensions: int = 8
    gather_bytes: int = 128 * MIB
    """Span of a storage that may be held in memory to reorder a transposed tensor."""
    output_bytes: int = 2048 * MIB
    """Sum of all canonical tensors (views on one storage multiply)."""
    address_space_bytes: int = 1024 * MIB
    cpu_s: int = 120
    open_files: int = 64

    def to_json(self) -> dict[str, int]:
        """Every limit by its name, as the child is told them."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Limits:
        """Raises ``ValueError`` on an unknown name or a value that is no positive integer."""
        known = {item.name for item in fields(cls)}
        values: dict[str, int] = {}
        for name, value in data.items():
            if name not in known or not isinstance(value, int) or value <= 0:
                raise ValueError(f"bad limit {name!r}")
            values[name] = value
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """How one artifact is read.

    ``name`` is shown in the reading instead of the file's own (uploads are stored under ids);
    ``timeout_s`` is wall-clock time, after which the child is killed; below the sandbox level
    ``floor`` nothing is read at all. ``member`` is the file of a folder or archive that is wanted
    and ``state`` the key of the file, instead of those that loaders take. A file of ``role``
    "backbone" is the buyer's own: its tensors are taken as they are, whatever family they are of,
    also from a TorchScript archive.
    """

    limits: Limits = field(default_factory=Limits)
    timeout_s: float = 180.0
    name: str | None = None
    floor: Level = "plain"
    member: str | None = None
    state: str | None = None
    role: Role = "artifact"
