"""What a sandbox may get in the way of: every kind of artifact, odd places, other people's files."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.checkpoint import Limits, ReaderOptions, read_artifact, rewrite_artifact
from tests.support import forbidding

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

Wrap = Callable[[Path, Path], Path]
MIB = 1024 * 1024


def as_file(genuine: Path, folder: Path) -> Path:
    return Path(shutil.copy(genuine, folder))


def as_folder(genuine: Path, folder: Path) -> Path:
    (folder / "run" / "prompt_learner").mkdir(parents=True)
    shutil.copy(genuine, folder / "run" / "prompt_learner")
    return folder / "run"


def as_zip(genuine: Path, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(genuine, genuine.name)
    return folder / "a.zip"


def as_tar_gz(genuine: Path, folder: Path) -> Path:
    with tarfile.open(folder / "a.tgz", "w:gz") as archive:
        archive.add(genuine, genuine.name)
    return folder / "a.tgz"


@pytest.mark.parametrize("wrap", [as_file, as_folder, as_zip, as_tar_gz])
@pytest.mark.parametrize("without", [(), ("unshare",), ("unshare", "landlock_create_ruleset")])
def test_every_kind_of_artifact(
    wrap: Wrap,
    without: tuple[str, ...],
    genuine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact = wrap(genuine, tmp_path)
    if without:
        monkeypatch.setattr(sys, "executable", str(forbidding.interpreter(tmp_path, *without)))
    reading = read_artifact(artifact, tmp_path / "out")
    assert (reading.family, reading.findings) == ("CoCoOp", ())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "canonical.safetensors",
        "reading.json",
    ]
    result = tmp_path / "rewritten"
    rewrite_artifact(artifact, tmp_path / "out" / "canonical.safetensors", result)
    assert result.read_bytes() == genuine.read_bytes()


@pytest.mark.parametrize(
    "name", ["with blank\nand line", "ü", b"\xff\xfe".decode("utf-8", "surrogateescape")]
)
def test_odd_names(name: str, genuine: Path, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    artifact = Path(shutil.copy(genuine, folder / f"{name}.pth"))
    assert read_artifact(artifact, folder / "out").canonical


def test_results_beside_above_and_below_the_artifact(genuine: Path, tmp_path: Path) -> None:
    folder = as_folder(genuine, tmp_path)
    artifact = folder / "prompt_learner" / genuine.name
    before = artifact.read_bytes()
    assert read_artifact(artifact, artifact.parent).canonical
    assert read_artifact(artifact, tmp_path).canonical
    for left in (artifact.parent / "canonical.safetensors", artifact.parent / "reading.json"):
        left.unlink()
    assert read_artifact(folder, folder / "out").canonical
    assert artifact.read_bytes() == before


def test_a_link_to_the_artifact(genuine: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(genuine)
    reading = read_artifact(tmp_path / "link", tmp_path / "out")
    assert reading.canonical
    assert reading.artifact.name == genuine.name


def test_several_at_once(genuine: Path, tmp_path: Path) -> None:
    found: list[str | None] = []

    def run(number: int) -> None:
        found.append(read_artifact(genuine, tmp_path / f"out{number}").canonical_sha256)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(found)) == 1 and found[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read what is not his")
def test_root_reads_what_belongs_to_somebody_else(genuine: Path, tmp_path: Path) -> None:
    artifact, out = Path(shutil.copy(genuine, tmp_path / "private.pth")), tmp_path / "out"
    out.mkdir(mode=0o700)
    for path, mode in ((artifact, 0o600), (out, 0o700)):
        os.chown(path, 65534, 65534)
        path.chmod(mode)
    assert read_artifact(artifact, out).canonical
    reading = json.loads((out / "reading.json").read_text())
    assert (out / "reading.json").stat().st_uid == 0
    assert reading["canonical_sha256"]


def test_a_file_of_600_mib_within_a_gibibyte_of_addresses(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    size = 600 * MIB
    header = json.dumps({"ctx": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + size)
    reading = read_artifact(path, tmp_path / "out", options=ReaderOptions(Limits()))
    assert [tensor.shape for tensor in reading.tensors] == [(size // 4,)]
    shutil.rmtree(tmp_path)
