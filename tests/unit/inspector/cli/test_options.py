"""Manifests and class lists as the command line takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from inspector.cli.options import read_manifest, resolve_device, work_folder
from inspector.errors import RequestError
from inspector.manifest import Manifest


def test_classes_take_the_place_of_the_manifests_names(tmp_path: Path) -> None:
    manifest, classes = tmp_path / "manifest.json", tmp_path / "classes.txt"
    manifest.write_text(json.dumps({"method": "CoOp", "classnames": ["x"], "comment": 1}))
    classes.write_text("cat\ndog\n")
    stated = read_manifest(manifest, classes)
    assert (stated.method, stated.classnames) == ("CoOp", ("cat", "dog"))
    assert read_manifest(None, None) == Manifest()


def test_files_to_check_against_start_at_the_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"check": {"images": "i", "logits": "l"}}))
    check = read_manifest(manifest, None).check
    assert check is not None
    assert (check.images, check.logits) == (tmp_path / "i", tmp_path / "l")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, auto in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert (resolve_device("auto"), resolve_device("cpu")) == (auto, "cpu")
    with pytest.raises(RequestError, match="no CUDA device"):
        resolve_device("cuda")


def test_a_folder_that_is_kept_and_one_that_is_not(tmp_path: Path) -> None:
    with work_folder(tmp_path / "a" / "b") as kept:
        assert kept.is_dir()
    with work_folder(None) as dropped:
        assert dropped.is_dir()
    assert kept.is_dir()
    assert not dropped.exists()
