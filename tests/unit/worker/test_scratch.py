"""Scratch folders and verified fetching."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from app.storage import FolderStore, StoreMissing
from worker.faults import StoredBytesChanged
from worker.scratch import fetch, job_folder, sweep


def test_a_job_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), job_folder(tmp_path) as folder:
        (folder / "x").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_sweeping_takes_the_stale_or_everything(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    long_ago = time.time() - 2 * 86400
    os.utime(old, (long_ago, long_ago))
    sweep(tmp_path, everything=False)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    sweep(tmp_path, everything=True)
    assert list(tmp_path.iterdir()) == []
    sweep(tmp_path / "never made", everything=True)


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
