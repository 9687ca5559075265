"""Archives of pictures that would take the machine: small on disk, refused or skipped by their headers."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inspector.errors import RequestError
from inspector.probes.headers import read_header
from inspector.probes.loading import load_pools
from tests.unit.inspector.probes.test_loading import PROFILE, SIZE, fill, pack, picture

PNG = b"\x89PNG\r\n\x1a\n"
HUGE = 40_000


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def ihdr(side: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


def png(*sides: int, before: bytes = b"") -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return PNG + b"".join(map(ihdr, sides)) + before + pixels + chunk(b"IEND", b"")


def flat_png(side: int, shade: int) -> bytes:
    """All of it, and sound."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" + bytes([shade]) * 3 * side) for _ in range(side))
    return PNG + ihdr(side) + chunk(b"IDAT", rows + packer.flush()) + chunk(b"IEND", b"")


def frame(marker: int, width: int, height: int) -> bytes:
    return struct.pack(">BBHBHHB", 255, marker, 17, 8, height, width, 3) + bytes(9)


def jpeg(*frames: bytes, before: bytes = b"") -> bytes:
    return b"\xff\xd8" + before + b"".join(frames) + b"\xff\xda" + struct.pack(">H", 12) + bytes(99)


def webp(kind: bytes, content: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp(width: int, height: int, compression: int = 0) -> bytes:
    info = struct.pack("<IIIHHIIIIII", 40, width, height, 1, 24, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + info + bytes(900)


SMALL, LARGE = frame(0xC0, 100, 100), frame(0xC0, HUGE, HUGE)
GIGAPIXELS = {
    "png": png(HUGE),
    "png-second-header-lies": png(HUGE, 10),
    "png-second-header-is-true": png(10, HUGE),
    "png-late": png(HUGE, before=chunk(b"tEXt", b"a\0" + bytes(100_000)) * 9),
    "jpeg": jpeg(LARGE),
    "jpeg-progressive": jpeg(frame(0xC2, HUGE, HUGE)),
    "jpeg-second-frame-lies": jpeg(LARGE, SMALL),
    "jpeg-second-frame-is-true": jpeg(SMALL, LARGE),
    "jpeg-late": jpeg(LARGE, before=b"\xff\xe1\xff\xff" + bytes(65533)),
    "webp-canvas": webp(b"VP8X", bytes(4) + (HUGE - 1).to_bytes(3, "little") * 2),
    "webp-lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(99)),
    "webp-lossy": webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383)),
    "bmp": bmp(HUGE, HUGE),
    "bmp-top-down": bmp(HUGE, 2**32 - HUGE),
    "bmp-unsigned-width": bmp(2**32 - 10, 20),
    "bmp-os2": b"BM" + bytes(12) + struct.pack("<IHHHH", 12, HUGE, HUGE, 1, 24) + bytes(99),
}


@pytest.mark.parametrize("name", GIGAPIXELS)
def test_a_gigapixel_is_refused_by_its_header(name: str, tmp_path: Path) -> None:
    members = {f"{index}.png": picture(index) for index in range(130)}
    archive = pack(tmp_path / "p.zip", members | {f"{name}.png": GIGAPIXELS[name]})
    with pytest.raises(RequestError, match=rf"'{name}.png' has \d+ x \d+ pixels; .* may have"):
        load_pools(str(archive), SIZE, PROFILE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_honest_headers_are_read_as_pillow_reads_them(kind: str, mode: str) -> None:
    data = io.BytesIO()
    Image.new(mode, (123, 45)).save(data, kind)
    header = read_header(data.getvalue())
    assert header is not None
    assert (header.format, header.width, header.height) == (kind, 123, 45)
    data = io.BytesIO()
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"progressive": True},
        "WEBP": {"lossless": True, "exif": b"Exif\0\0"},
    }
    Image.new(mode, (321, 54)).save(data, kind, **options.get(kind, {}))
    header = read_header(data.getvalue())
    assert header is not None
    assert (header.width, header.height) == (321, 54)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_other_formats_are_skipped_whatever_their_name(kind: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    frames = [Image.new("P", (100, 100), shade) for shade in range(20)]
    frames[0].save(data, kind, save_all=True, append_images=frames[1:])
    members = {f"{index}.png": picture(index) for index in range(130)}
    archive = pack(tmp_path / "p.zip", members | {"x.png": data.getvalue()})
    assert load_pools(str(archive), SIZE, PROFILE).skipped == 1
    assert read_header(data.getvalue()) is None


def busy() -> Iterator[tuple[str, bytes]]:
    """What keeps a library busy for minutes, from some kilobytes."""
    million = 1_000_000
    yield "png-blocks-before-pixels", png(20, before=struct.pack(">I4sI", 0, b"aaAa", 0) * million)
    yield "png-blocks-behind-pixels", picture(1) + struct.pack(">I4sI", 0, b"aaAa", 0) * million
    yield "jpeg-blocks", jpeg(SMALL, before=b"\xff\xfe\x00\x02" * million)
    yield "jpeg-padding", jpeg(SMALL, before=b"\xff" * million)
    yield "not-even-begun", bytes(million)


@pytest.mark.parametrize(
    ("name", "data"), list(busy()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_keeps_a_library_busy_is_skipped(name: str, data: bytes, tmp_path: Path) -> None:
    members = {f"{index}.png": picture(index) for index in range(130)}
    archive = pack(tmp_path / "p.zip", members | {f"{name}.png": data})
    begun = time.process_time()
    assert load_pools(str(archive), SIZE, PROFILE).skipped == 1
    assert time.process_time() - begun < 1


def test_scans_without_end_are_work(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(data, "JPEG", progressive=True)
    scans = data.getvalue() + (b"\xff\xda\x00\x0c" + bytes(10)) * 2000
    members = {f"{index}.png": picture(index) for index in range(130)}
    archive = pack(tmp_path / "p.zip", members | {"scans.jpg": scans})
    with pytest.raises(RequestError, match="'scans.jpg' the pictures unpack to"):
        load_pools(str(archive), SIZE, PROFILE)


def test_flat_pictures_are_refused_together_before_one_is_decoded(tmp_path: Path) -> None:
    """In a process of its own, by what the kernel says of its time and memory."""
    members = {f"{index}.png": picture(index) for index in range(70)}
    flat = flat_png(8000, 7)
    members |= {f"flat-{index}.png": flat + bytes([index]) for index in range(66)}
    archive = pack(tmp_path / "p.zip", members)
    assert archive.stat().st_size < 1_000_000
    code = """if True:
        import resource, sys
        from inspector.profiles import PROFILES
        from inspector.errors import RequestError
        from inspector.probes.loading import load_pools
        def used():
            usage = resource.getrusage(resource.RUSAGE_SELF)
            return usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        seconds, peak = used()
        try:
            load_pools(sys.argv[1], 224, PROFILES["quick"])
        except RequestError as refused:
            print(refused)
        print(used()[0] - seconds, (used()[1] - peak) // 1024)
    """
    ran = subprocess.run(
        [sys.executable, "-c", code, str(archive)], capture_output=True, text=True, check=True
    )
    refused, figures = ran.stdout.splitlines()
    assert "'flat-" in refused
    assert "536870912 may be" in refused
    seconds, mebibytes = figures.split()
    assert float(seconds) < 1
    assert int(mebibytes) < 100


def test_honest_pictures_of_any_size_pass(tmp_path: Path) -> None:
    members = {f"{index}.png": picture(index) for index in range(130)}
    members |= {f"photo-{index}.jpg": picture(index, 3000, 2000, "JPEG") for index in range(4)}
    members |= {f"flat-{index}.png": flat_png(1000, index) for index in range(40)}
    found = load_pools(str(pack(tmp_path / "p.zip", members)), SIZE, PROFILE)
    assert found.skipped == 0


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "p.zip", {f"{index}.png": picture(index) for index in range(130)})
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "a") as more:
        warnings.simplefilter("ignore")
        more.writestr("7.png", picture(500))
    with pytest.raises(RequestError, match="the zip holds '7.png' twice"):
        load_pools(str(archive), SIZE, PROFILE)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "p.zip", {f"{index}.png": picture(0) for index in range(130)})
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 42 : at + 46] = bytes(4)
    archive.write_bytes(data)
    with pytest.raises(RequestError, match="overlaps"):
        load_pools(str(archive), SIZE, PROFILE)


@pytest.mark.parametrize("lies", [False, True])
def test_a_huge_directory_is_not_read(lies: bool, tmp_path: Path) -> None:
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", 1, 0, 0) + bytes(12) + b"a"
    entries = entry * (600_000 if not lies else 1)
    size = len(entries) if not lies else 2**31
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    archive = tmp_path / "p.zip"
    archive.write_bytes(entries + end)
    begun = time.process_time()
    with pytest.raises(RequestError, match="larger than 24 MiB|readable zip"):
        load_pools(str(archive), SIZE, PROFILE)
    assert time.process_time() - begun < 1


def test_slow_compressions_are_skipped(tmp_path: Path) -> None:
    archive = pack(tmp_path / "p.zip", {f"{index}.png": picture(index) for index in range(130)})
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_BZIP2) as more:
        more.writestr("0slow.bmp", bmp(20, 20) + bytes(10_000_000))
    assert load_pools(str(archive), SIZE, PROFILE).skipped == 1


def test_a_folder_is_held_to_the_same(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 130)
    (folder / "a.png").write_bytes(png(HUGE))
    with pytest.raises(RequestError, match="'a.png' has 40000 x 40000 pixels"):
        load_pools(str(folder), SIZE, PROFILE)
