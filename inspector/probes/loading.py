"""Probe images for one inspection: the built-in ones, or a user's folder or zip opened defensively.

Pictures are never extracted: each is read into memory under a size limit, decoded by Pillow as the
format that its header names, scaled (bicubic, shortest side) and cut at the centre as CLIP does.
All that will be decoded is first held against limits by its headers (`admission`). The pools do not
depend on the inspection's seed, so that references can be shared. Unreadable pictures and second
copies are skipped and counted. Does not know what probes are used for.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import random
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from inspector.errors import RequestError
from inspector.probes.admission import MAX_PIXELS, Admission
from inspector.probes.headers import Header, effort_of
from inspector.probes.procedural import procedural_probes
from inspector.probes.sources import MAX_BYTES, Picture, pictures_of
from inspector.profiles import MINIMUM_PROBES, Profile

BUILT_IN = "builtin"
_ORDER_SEED = 20240
"""Pictures of a folder are taken in one fixed shuffled order: names often sort by class."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ProbeSet:
    """Disjoint pools (N, 3, S, S) in [0,1] on the CPU.

    `sha256` is over the 8-bit pixels of both, in order, and `in_distribution`: whether the pictures
    are of what the model is for.
    """

    optimisation: Tensor
    held_out: Tensor
    source: str
    sha256: str
    skipped: int = 0
    in_distribution: bool = False

    @property
    def pictures(self) -> tuple[int, int]:
        """How many there are of each pool."""
        return len(self.optimisation), len(self.held_out)

    def to_json(self) -> dict[str, object]:
        """The report's `probes`."""
        return {
            "source": self.source,
            "count": len(self.optimisation),
            "held_out": len(self.held_out),
            "skipped": self.skipped,
            "in_distribution": self.in_distribution,
            "sha256": self.sha256,
        }


def load_pools(
    source: str, size: int, profile: Profile, *, in_distribution: bool = False
) -> ProbeSet:
    """Pools as `profile` wants them, at `size` x `size`; smaller ones where the source has fewer.

    Args:
        source: "builtin", or the path of a folder or zip.

    Raises:
        RequestError: no such source, fewer usable pictures than 64 + 64, pictures that decode to
            more than is reasonable, or built-in ones that are said to be of what the model is for.
    """
    wanted = profile.probes + profile.held_out
    if source == BUILT_IN:
        if in_distribution:
            raise RequestError(
                "in_distribution", "built-in probes show nothing that a model is for"
            )
        made = (procedural_probes(wanted, size) * 255).round().to(torch.uint8)
        return _split(made.numpy(), profile.probes, BUILT_IN, 0)
    images, skipped = read_pictures(Path(source), size, wanted)
    if len(images) < 2 * MINIMUM_PROBES:
        raise RequestError(
            "probes",
            f"{len(images)} usable pictures ({skipped} skipped), needed are "
            f"{MINIMUM_PROBES} + {MINIMUM_PROBES} different ones",
        )
    held_out = profile.held_out
    if len(images) < wanted:
        held_out = max(MINIMUM_PROBES, len(images) // 5)
    kind = "folder" if Path(source).is_dir() else "zip"
    probes = _split(np.stack(images), len(images) - held_out, kind, skipped)
    return _of_the_task(probes) if in_distribution else probes


def _split(pixels: Pixels, count: int, source: str, skipped: int) -> ProbeSet:
    digest = hashlib.sha256(f"{pixels.shape} {count}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    images = torch.from_numpy(pixels).float() / 255
    return ProbeSet(images[:count], images[count:], source, digest.hexdigest(), skipped)


def _of_the_task(probes: ProbeSet) -> ProbeSet:
    """Under another digest, as scores that were measured with both readings cannot be compared."""
    digest = hashlib.sha256(f"in-distribution {probes.sha256}".encode()).hexdigest()
    return replace(probes, sha256=digest, in_distribution=True)


def read_pictures(path: Path, size: int, wanted: int) -> tuple[list[Pixels], int]:
    """Up to `wanted` different pictures (3, size, size) of a folder or zip; and how many it skips.

    Raises:
        RequestError: see `load_pools`.
    """
    admission = Admission()
    with pictures_of(path) as pictures:
        return decoded(pictures, size, wanted, admission), admission.skipped


def decoded(pictures: list[Picture], size: int, wanted: int, admission: Admission) -> list[Pixels]:
    """Up to `wanted` different ones of them (3, size, size), as far as `admission` goes.

    Raises:
        RequestError: they decode to more than is reasonable, with all that was admitted before.
    """
    return [image for _, image in named(pictures, size, wanted, admission)]


def named(
    pictures: list[Picture], size: int, wanted: int, admission: Admission
) -> list[tuple[Picture, Pixels]]:
    """The same, each beside the picture that it was decoded from, (3, size, size).

    Raises:
        RequestError: see `decoded`.
    """
    images: list[tuple[Picture, Pixels]] = []
    seen: set[bytes] = set()
    admitted = admission.admit(_shuffled(pictures))
    # Headers of all that will probably be needed come before the first pixel.
    planned = list(itertools.islice(admitted, wanted))
    for picture, header in itertools.chain(planned, admitted):
        image = _decode(picture, header, size, admission)
        if image is None or (key := hashlib.sha256(image.data).digest()) in seen:
            admission.skipped += 1
            continue
        seen.add(key)
        images.append((picture, image))
        if len(images) == wanted:
            break
    return images


def _shuffled(pictures: list[Picture]) -> list[Picture]:
    ordered = sorted(pictures, key=lambda picture: picture.name)
    random.Random(_ORDER_SEED).shuffle(ordered)
    return ordered


def _decode(picture: Picture, header: Header, size: int, admission: Admission) -> Pixels | None:
    """8-bit pixels (3, size, size), or None for what is no sound picture."""
    data = picture.read(MAX_BYTES)
    if data is None or (effort := effort_of(header, data)) is None:
        return None
    admission.charge(picture, header, effort - header.effort)
    try:
        with (
            warnings.catch_warnings(),
            Image.open(io.BytesIO(data), formats=[header.format]) as image,
        ):
            warnings.simplefilter("ignore")
            if image.width * image.height > MAX_PIXELS:
                return None
            return _square(image if image.mode == "RGB" else image.convert("RGB"), size)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None


def _square(image: Image.Image, size: int) -> Pixels:
    """Shortest side to `size`, bicubic; then the centre."""
    width, height = image.size
    if max(width, height) > 100 * min(width, height):
        raise ValueError("a strip, not a picture")
    scale = size / min(width, height)
    scaled = (max(size, round(width * scale)), max(size, round(height * scale)))
    image = image.resize(scaled, Image.Resampling.BICUBIC)
    left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    image = image.crop((left, top, left + size, top + size))
    return np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))
