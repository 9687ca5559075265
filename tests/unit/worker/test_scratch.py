"""Verified fetching."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from app.storage import FolderStore, StoreMissing
from worker.faults import StoredBytesChanged
from worker.scratch import fetch


def test_fetched_bytes_are_the_uploaded_ones(tmp_path: Path) -> None:
    store, source = FolderStore(tmp_path / "store"), tmp_path / "source"
    source.write_bytes(b"model")
    store.put("k", source)
    fetch(store, "k", tmp_path / "a", hashlib.sha256(b"model").hexdigest())
    assert (tmp_path / "a").read_bytes() == b"model"
    with pytest.raises(StoredBytesChanged):
        fetch(store, "k", tmp_path / "b", "0" * 64)
    with pytest.raises(StoreMissing):
        fetch(store, "other", tmp_path / "c", None)
