"""The original code's checkpoints, re-wrapped as training tools save them, give the same tensors.

Every sixth wrapper for every case; ``python -m tests.bench.wrappers`` asks all of them for their logits.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from tests.bench.wrappers import checkpoint_of, wrapped
from tests.conformance.conftest import FOLDER, cases
from tests.support.wrappers import WRAPPERS

CASES = [case for case in cases() if checkpoint_of(case)] or ["none"]
EXACT = [name for name in WRAPPERS if name != "bf16"]
PAIRS = [(case, wrapper) for number, case in enumerate(CASES) for wrapper in EXACT[number % 6 :: 6]]


@pytest.mark.parametrize(("case", "wrapper"), PAIRS)
def test_a_wrapper_changes_no_tensor(case: str, wrapper: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(case)
    assert checkpoint is not None
    for folder in ("in", "out", "plain"):
        (tmp_path / folder).mkdir()
    plain = read_here(FOLDER / case, tmp_path / "plain", ReaderOptions())
    found = read_here(wrapped(case, wrapper, tmp_path / "in"), tmp_path / "out", ReaderOptions())
    assert (found.family, found.canonical_sha256) == (plain.family, plain.canonical_sha256)
    assert {finding.id for finding in found.findings} <= {
        "prefix-stripped",
        "identical-copy",
        "zip-no-checksums",
        *(finding.id for finding in plain.findings),
    }
