"""Folders and archives of one: the right file is chosen, everything else is reported."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from inspector.checkpoint.choice import choose
from inspector.checkpoint.limits import Limits
from inspector.errors import UnsupportedFormat
from tests.support.checkpoints import coop_state, save_dassl, save_dassl_folder
from tests.unit.inspector.checkpoint.conftest import Read, ids


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a vendor sends: a run's output with two epochs, a log and BadCLIP's trigger."""
    root = tmp_path / "run"
    save_dassl_folder(root, coop_state(seed=1), epoch=9)
    save_dassl_folder(root, coop_state(seed=2), epoch=50)
    save_dassl(root / "trigger" / "model.pth.tar-50", coop_state(seed=3), 50)
    (root / "log.txt").write_text("epoch 50")
    (root / "manifest.json").write_text("{}")
    return root


def packed(folder: Path, kind: str) -> Path:
    """The folder as one archive."""
    path = folder.parent / f"run.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
            tar.add(folder, "run")
    return path


def test_the_highest_epoch_of_a_directory(folder: Path, read: Read) -> None:
    reading = read(folder)
    assert reading.container.outer == "directory"
    assert reading.container.member == "prompt_learner/model.pth.tar-50"
    assert set(reading.container.ignored) == {
        "log.txt",
        "manifest.json",
        "prompt_learner/checkpoint",
        "prompt_learner/model.pth.tar-9",
        "trigger/model.pth.tar-50",
    }
    assert reading.metadata["epoch"] == 50


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_reads_like_its_folder(kind: str, folder: Path, read: Read) -> None:
    expected = read(folder)
    archive = packed(folder, kind)
    reading = read(archive)
    assert reading.findings == ()
    assert reading.container.outer == kind
    assert reading.container.member == f"run/{expected.container.member}"
    assert reading.canonical_sha256 == expected.canonical_sha256
    assert reading.artifact.size == archive.stat().st_size
    assert "run/trigger/model.pth.tar-50" in reading.container.ignored


def test_the_best_model_comes_first(folder: Path, read: Read) -> None:
    save_dassl(folder / "prompt_learner" / "model-best.pth.tar", coop_state(seed=4), 3)
    reading = read(folder)
    assert reading.container.member == "prompt_learner/model-best.pth.tar"
    assert reading.metadata["epoch"] == 3


def test_two_folders_are_ambiguous(folder: Path, read: Read) -> None:
    save_dassl_folder(folder, coop_state(), epoch=50, name="MultiModalPromptLearner")
    reading = read(folder)
    assert ids(reading) == ["archive-ambiguous"]
    assert "MultiModalPromptLearner" in reading.findings[0].message


def test_nothing_to_read(tmp_path: Path, read: Read) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.txt").write_text("nothing")
    assert ids(read(tmp_path / "run")) == ["archive-no-checkpoint"]


def test_a_single_loose_file_is_chosen() -> None:
    assert choose(["a/readme.md", "a/weights.safetensors"]).member == "a/weights.safetensors"
    with pytest.raises(UnsupportedFormat):
        choose(["a.pt", "b.pt"])


def test_links_in_a_directory_are_not_followed(folder: Path, tmp_path: Path, read: Read) -> None:
    secret = save_dassl(tmp_path / "secret" / "model-best.pth.tar", coop_state())
    (folder / "prompt_learner" / "model-best.pth.tar").symlink_to(secret)
    assert read(folder).container.member == "prompt_learner/model.pth.tar-50"


def test_a_fifo_does_not_block(folder: Path, tmp_path: Path, read: Read) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert ids(read(tmp_path / "fifo")) == ["not-a-checkpoint"]


def test_an_archive_in_an_archive(folder: Path, tmp_path: Path, read: Read) -> None:
    inner = packed(folder, "zip")
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, "model.pth.tar-1")
    assert ids(read(outer)) == ["archive-nested"]


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


@pytest.mark.parametrize("name", ["../model.pth.tar-1", "/model.pth.tar-1", "a/../../m"])
def test_a_tar_that_leaves_its_folder(name: str, tmp_path: Path, read: Read) -> None:
    assert ids(read(tar_with(tmp_path / "t.tar", member(name)))) == ["archive-malformed"]


def test_a_tar_with_two_members_of_one_name(tmp_path: Path, read: Read) -> None:
    path = tar_with(tmp_path / "t.tar", member("model.pth.tar-1"), member("./model.pth.tar-1"))
    assert ids(read(path)) == ["archive-malformed"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_ignored(kind: bytes, tmp_path: Path, read: Read) -> None:
    reading = read(tar_with(tmp_path / "t.tar", member("model.pth.tar-1", kind)))
    assert ids(reading) == ["archive-no-checkpoint"]


def test_a_truncated_tar(folder: Path, read: Read) -> None:
    path = packed(folder, "tar")
    path.write_bytes(path.read_bytes()[:3000])
    assert ids(read(path)) == ["archive-malformed"]


def test_a_gzip_bomb(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(bytes(8_000_000)))
    assert ids(read(path)) == ["limit-exceeded"]


@pytest.mark.parametrize("change", [lambda d: d[:-9], lambda d: d + b"x", lambda d: d[:20]])
def test_a_broken_gzip(change: object, folder: Path, read: Read) -> None:
    path = packed(folder, "tar.gz")
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    assert ids(read(path)) == ["archive-malformed"]


def test_a_zip_bomb(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth.tar-1", bytes(5_000_000))
    assert ids(read(path, Limits(artifact_bytes=1_000_000))) == ["limit-exceeded"]


def test_a_member_that_lies_about_its_size(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth.tar-1", bytes(5_000_000))
    data = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), b"\x10\x00\x00\x00")
    path.write_bytes(data)
    assert ids(read(path)) == ["zip-malformed"]


def test_too_many_files(folder: Path, read: Read) -> None:
    assert ids(read(folder, Limits(archive_members=3))) == ["limit-exceeded"]
    assert ids(read(packed(folder, "tar"), Limits(archive_members=3))) == ["limit-exceeded"]


def test_nothing_temporary_is_left(folder: Path, tmp_path: Path, read: Read) -> None:
    read(packed(folder, "tar.gz"))
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["canonical.safetensors"]


def test_a_folder_of_links_says_what_to_do(tmp_path: Path, read: Read) -> None:
    """As the hub's cache has them."""
    blob = tmp_path / "blobs" / "abc"
    blob.parent.mkdir()
    save_dassl(blob, coop_state())
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(blob)
    (finding,) = read(tmp_path / "snapshot").findings
    assert finding.id == "archive-no-checkpoint"
    assert "model.safetensors" in finding.message
    assert "cp -rL" in finding.remedy
