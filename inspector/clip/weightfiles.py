"""The weights of a trusted backbone as safetensors files, and the hash that pins name.

What is no safetensors is read as a vendor's file would be: walked by our own reader in its child
process, never unpickled. It comes from the buyer, but a file from the internet is a file from the
internet. Torch-free; does not know what the tensors are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.checkpoint import Limits, ReaderOptions, read_artifact
from inspector.checkpoint.formats.safetensors import looks_like_safetensors
from inspector.checkpoint.limits import MIB
from inspector.checkpoint.reasons import REASONS
from inspector.checkpoint.source import open_source, sha256_of
from inspector.clip.registry import Location
from inspector.errors import ArtifactError, BackboneError

_OPTIONS = ReaderOptions(
    Limits(artifact_bytes=32_768 * MIB, output_bytes=32_768 * MIB, cpu_s=1800),
    timeout_s=3600,
    role="backbone",
)
"""The largest CLIPs have 10 GB, and the buyer knows what they named."""


def sha256_of_weights(location: Location) -> str:
    """The SHA-256 of the weight file, in hexadecimal; pins are held against it.

    Of shards that of the lines ``HEX  NAME``, as ``sha256sum`` prints them in order of name, so
    that ``sha256sum *.safetensors | sha256sum`` gives it.

    Raises:
        BackboneError: a pin differs, or a file cannot be read.
    """
    try:
        hashes = [_sha256(path) for path in location.weights]
    except (OSError, ArtifactError) as problem:
        raise location.unusable("its weights cannot be read", problem) from problem
    sha256 = hashes[0]
    if location.index is not None:
        lines = (f"{hexed}  {p.name}\n" for hexed, p in zip(hashes, location.weights, strict=True))
        sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
    for pin in location.pins:
        if pin != sha256:
            raise BackboneError(
                location.name, f"the weights have sha256 {sha256}, demanded was {pin}"
            )
    return sha256


@contextmanager
def in_safetensors(location: Location) -> Iterator[tuple[Path, ...]]:
    """The weight files within the block, in safetensors: their own, or as the reader wrote them.

    Raises:
        BackboneError: a file is unreadable, or tries to run code.
        TransientError: the reader's child died or the disk is full.
    """
    with TemporaryDirectory(prefix="clipvet-backbone-") as scratch:
        outs = (Path(scratch, str(number)) for number in range(len(location.weights)))
        pairs = zip(location.weights, outs, strict=True)
        yield tuple(_plain(location, path, out) for path, out in pairs)


def _plain(location: Location, path: Path, out: Path) -> Path:
    try:
        with open_source(path) as source:
            if looks_like_safetensors(source):
                return path
        reading = read_artifact(path, out, options=_OPTIONS)
    except (OSError, ArtifactError) as problem:
        raise location.unusable("its weights cannot be read", problem) from problem
    if reading.canonical is not None:
        return out / reading.canonical
    stops = [finding for finding in reading.findings if REASONS[finding.id].stops]
    # Records of a file may be called after the folder that it was saved in.
    said = (REASONS[one.id].meaning if location.is_private else one.message for one in stops[:3])
    raise BackboneError(location.name, f"its weights are refused: {'; '.join(said)}")


def _sha256(path: Path) -> str:
    with open_source(path) as source:
        return sha256_of(source)
