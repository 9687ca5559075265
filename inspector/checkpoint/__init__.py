"""The reader: hostile bytes in, canonical tensors and a reading out; nothing is ever loaded.

A child process walks the file (:mod:`~inspector.checkpoint.read`), the parent only starts it and
checks its answer (:mod:`~inspector.checkpoint.child`). Standard library only: neither torch nor
numpy is imported on either side. It does not know what the tensors mean; families are names and
shapes here, and become classifiers in ``inspector.clip``.
"""

from __future__ import annotations

from inspector.checkpoint.child import read_artifact, rewrite_artifact
from inspector.checkpoint.delivery import Delivered, read_models
from inspector.checkpoint.limits import Limits, ReaderOptions
from inspector.checkpoint.reading import (
    READER_VERSION,
    ArtifactInfo,
    ContainerInfo,
    GlobalUse,
    Reading,
    TensorInfo,
    reading_table,
)

__all__ = [
    "READER_VERSION",
    "ArtifactInfo",
    "ContainerInfo",
    "Delivered",
    "GlobalUse",
    "Limits",
    "ReaderOptions",
    "Reading",
    "TensorInfo",
    "read_artifact",
    "read_models",
    "reading_table",
    "rewrite_artifact",
]
