"""Which code inspects: its version and a hash over its sources. Reports and banks name it.

A version names a release, the hash names these very files: an auditor who has them can tell whether
it was them. Knows nothing of a report.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The package ``inspector``."""
_SOURCES = (".py", ".json", ".txt")


@functools.cache
def identity() -> dict[str, str | None]:
    """``version``, None where it is not installed, and ``sha256`` of the sources."""
    return {"version": installed(), "sha256": sources_sha256(ROOT)}


def installed() -> str | None:
    """The version of the package clipvet, None where it is not installed."""
    try:
        return version("clipvet")
    except PackageNotFoundError:
        return None


def sources_sha256(root: Path) -> str:
    """Over ``<sha256>  <path>`` of every source below ``root``, in order of paths.

    It is ``find . -name '*.py' -o -name '*.json' -o -name '*.txt' | cut -c3- | LC_ALL=C sort |
    xargs sha256sum | sha256sum``, run in the folder of the package.
    """
    paths = {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if path.suffix in _SOURCES and path.is_file()
    }
    digest = hashlib.sha256()
    for name, path in sorted(paths.items()):
        digest.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()
