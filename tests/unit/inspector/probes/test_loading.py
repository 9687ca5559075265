"""Probe images: the built-in ones, folders and zips with all that can be wrong in them."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inspector.errors import RequestError
from inspector.probes.loading import load_pools
from inspector.profiles import Profile

PROFILE = Profile("tiny", 70, 66, None)
SIZE = 16


def picture(seed: int, width: int = 30, height: int = 20, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def fill(folder: Path, count: int) -> Path:
    (folder / "deep").mkdir(parents=True)
    for index in range(count):
        kind, suffix = (("PNG", "png"), ("JPEG", "JPG"), ("BMP", "bmp"))[index % 3]
        path = folder / ("deep" if index % 2 else ".") / f"{index}.{suffix}"
        path.write_bytes(picture(index, kind=kind))
    return folder


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_built_in_probes_are_the_same_every_time() -> None:
    first, second = (load_pools("builtin", SIZE, PROFILE) for _ in range(2))
    assert first.sha256 == second.sha256
    assert torch.equal(first.optimisation, second.optimisation)
    assert first.optimisation.shape == (70, 3, SIZE, SIZE)
    assert first.to_json() == {
        "source": "builtin", "count": 70, "held_out": 66, "skipped": 0, "sha256": first.sha256,
        "in_distribution": False,
    }  # fmt: skip


def test_probes_of_what_the_model_is_for_are_another_set_and_never_built_in(tmp_path: Path) -> None:
    folder = str(fill(tmp_path / "pictures", 150))
    strange, own = (
        load_pools(folder, SIZE, PROFILE, in_distribution=stated) for stated in (False, True)
    )
    assert torch.equal(strange.held_out, own.held_out)
    assert strange.sha256 != own.sha256
    assert (strange.to_json()["in_distribution"], own.to_json()["in_distribution"]) == (False, True)
    with pytest.raises(RequestError, match="in_distribution: built-in probes"):
        load_pools("builtin", SIZE, PROFILE, in_distribution=True)


def test_a_folder_and_a_zip_of_it_are_the_same_probes(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 150)
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    archive = pack(tmp_path / "p.zip", {name: path.read_bytes() for name, path in names.items()})
    first, second = load_pools(str(folder), SIZE, PROFILE), load_pools(str(archive), SIZE, PROFILE)
    assert first.sha256 == second.sha256
    assert (first.source, second.source) == ("folder", "zip")
    assert len(first.optimisation) == 70
    assert 0 <= first.held_out.min() < first.held_out.max() <= 1


def test_what_is_no_picture_is_skipped(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 136)
    (folder / "note.txt").write_text("not counted")
    (folder / "torn.png").write_bytes(picture(500)[:200])
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "strip.bmp").write_bytes(picture(501, 4000, 9, "BMP"))
    os.mkfifo(folder / "pipe.png")
    wanted = replace(PROFILE, probes=100)
    found = load_pools(str(folder), SIZE, wanted)
    assert found.skipped == 4
    assert (len(found.optimisation), len(found.held_out)) == (72, 64)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    members = {f"{index}.png": picture(index) for index in range(136)}
    archive = pack(tmp_path / "p.zip", members | {"bomb.bmp": bytes(80 * 1024 * 1024)})
    assert load_pools(str(archive), SIZE, replace(PROFILE, probes=72, held_out=65)).skipped == 1


@pytest.mark.parametrize("count", [0, 127])
def test_too_few(count: int, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", count)
    with pytest.raises(
        RequestError, match=rf"{count} usable pictures \(0 skipped\), needed are 64"
    ):
        load_pools(str(folder), SIZE, PROFILE)


def test_neither_folder_nor_zip(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no zip")
    for name in ("file", "missing"):
        with pytest.raises(RequestError, match="neither a folder nor a readable zip"):
            load_pools(str(tmp_path / name), SIZE, PROFILE)
