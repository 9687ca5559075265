"""The whole corpus, one row after another; ids are unique."""

from __future__ import annotations

from tests.hostile import (
    bombs,
    code_calls,
    code_shapes,
    folders,
    foreign_files,
    honest_files,
    honest_values,
    legacy_files,
    safetensors_files,
    tensor_files,
    words,
    zips,
)
from tests.hostile.entry import Entry

CORPUS: tuple[Entry, ...] = (
    *code_calls.ENTRIES,
    *code_shapes.ENTRIES,
    *zips.ENTRIES,
    *legacy_files.ENTRIES,
    *tensor_files.ENTRIES,
    *safetensors_files.ENTRIES,
    *folders.ENTRIES,
    *bombs.ENTRIES,
    *foreign_files.ENTRIES,
    *words.ENTRIES,
    *honest_files.ENTRIES,
    *honest_values.ENTRIES,
)
