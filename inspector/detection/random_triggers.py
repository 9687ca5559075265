"""Random triggers: members of trigger families that no search in an L-infinity ball imitates.

A prompt taught to answer one warp or one noise pattern answers others of the kind too, and one
taught an additive trigger often answers both: it has learned that whatever disturbs fine detail
means the target. So nothing is optimised; a few triggers of each family are drawn, and what counts
is how many probes they carry to a class. WaNet counters this by training against other warps
(Nguyen & Tran, ICLR 2021, "noise mode"); such an attacker must keep them apart from its own by
their grain, therefore fine and coarse ones are drawn. Experiments 19 and 26.

Prompts taught a word, stripes or a patch answer what covers a little of the picture, random patches
and strokes, and hardly what disturbs all of it; honest prompts answer neither. Experiment 39. Those
taught a film or a tone curve answer what changes colours alone. Experiment 58.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from colorsys import hsv_to_rgb
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.detection.effects import (
    CleanBaseline,
    asr_gains,
    encode_triggered,
)
from inspector.detection.triggers import Trigger

FINE_WARPS = (4.0, 8.0, 12.0, 24.0)
"""A fine warp moves every pixel on its own, by up to so many pixels along either axis."""
FINE_BLENDS = (0.15, 0.25, 0.25, 0.4)
"""Share of the noise in a blend of noise as fine as the picture."""
COARSE_WARPS = ((12, 1 / 8), (12, 1 / 4), (6, 1 / 6), (6, 1 / 3))
"""Cells along a side and reach in sides: displacements are drawn for cells and interpolated."""
COARSE_BLENDS = ((12, 0.2), (12, 0.3), (6, 0.2), (6, 0.3))
"""Cells of noise along a side, and its share. One trigger is drawn for each entry of all four:
experiment 26."""
PATCHES = tuple((share, cells) for share in (1 / 10, 1 / 8, 1 / 6, 1 / 4) for cells in (1, 2, 4))
"""Side of an opaque square in sides of the picture, and cells of one colour along it."""
STROKES = tuple(range(4, 16))
"""Lines of one colour. Both: experiment 39."""
FILMS, TONE, BENDS, COLOURED = (0.3, 0.6), 0.3, 3, 12
"""Least and largest weight of a film's colour; the largest half wave of a tone curve in pixel
units, and how many it has; triggers of either family. Experiment 58."""
PEN, LENGTHS, INK = 48, (1 / 24, 1 / 5), 0.9
"""Lines to a side of the picture, shortest and longest in sides, and how opaque they are."""


def warp(size: int, generator: torch.Generator, reach: float, cells: int = 0) -> Trigger:
    """One displacement for all images, up to `reach` pixels; 0 cells: for every pixel its own."""
    places = torch.arange(size, dtype=torch.float32)
    y, x = torch.meshgrid(places, places, indexing="ij")
    drawn = torch.rand(1, 2, cells or size, cells or size, generator=generator) * 2 - 1
    flow = functional.interpolate(drawn, size, mode="bicubic", align_corners=True)
    moved = torch.stack((x, y), 2) + flow[0].permute(1, 2, 0) * reach
    # From pixel centres to the -1..1 that grid_sample reads, border to border.
    grid = (moved.clamp(0, size - 1) * (2 / (size - 1)) - 1)[None]

    def apply(pixels: Tensor) -> Tensor:
        whole = grid.to(pixels.device).expand(len(pixels), -1, -1, -1)
        return functional.grid_sample(pixels, whole, align_corners=True).clamp(0, 1)

    return apply


def blend(size: int, generator: torch.Generator, ratio: float, cells: int = 0) -> Trigger:
    """One picture of uniform noise, mixed into all images; 0 cells: as fine as they are."""
    noise = torch.rand(1, 3, cells or size, cells or size, generator=generator)
    picture = functional.interpolate(noise, size, mode="nearest")[0]
    return lambda pixels: (1 - ratio) * pixels + ratio * picture.to(pixels.device)


def patch(size: int, generator: torch.Generator, share: float, cells: int) -> Trigger:
    """An opaque square at a random place, of cells of random colours."""
    side = max(2, round(share * size))
    top, left = torch.randint(size - side + 1, (2,), generator=generator).tolist()
    colours = torch.rand(1, 3, cells, cells, generator=generator)
    square = functional.interpolate(colours, side, mode="nearest")[0]

    def apply(pixels: Tensor) -> Tensor:
        covered = pixels.clone()
        covered[:, :, top : top + side, left : left + side] = square.to(pixels.device)
        return covered

    return apply


def strokes(size: int, generator: torch.Generator, number: int) -> Trigger:
    """Upright and level lines at random places, all of one corner of the colour cube."""
    wide, (shortest, longest) = max(1, round(size / PEN)), LENGTHS
    mask = torch.zeros(1, size, size)
    for draw in torch.rand(number, 4, generator=generator).tolist():
        long = max(wide, round(size * (shortest + draw[0] * (longest - shortest))))
        height, width = (long, wide) if draw[1] < 0.5 else (wide, long)
        top, left = (int(place * (size - long)) for place in draw[2:])
        mask[:, top : top + height, left : left + width] = INK
    colour = torch.rand(3, 1, 1, generator=generator).round()
    return lambda pixels: pixels + mask.to(pixels.device) * (colour.to(pixels.device) - pixels)


def film(size: int, generator: torch.Generator) -> Trigger:
    """A gel before the lens: every pixel is mixed toward one saturated colour, of any hue."""
    hue, drawn = torch.rand(2, generator=generator).tolist()
    weight = FILMS[0] + drawn * (FILMS[1] - FILMS[0])
    colour = torch.tensor(hsv_to_rgb(hue, 1.0, 1.0))[:, None, None]
    return lambda pixels: (1 - weight) * pixels + weight * colour.to(pixels.device)


def tone(size: int, generator: torch.Generator) -> Trigger:
    """A tone curve for each channel: the identity and a sum of half waves, ends fixed."""
    heights = TONE * torch.randn(3, BENDS, generator=generator).tanh()

    def apply(pixels: Tensor) -> Tensor:
        bent = pixels
        for wave in range(BENDS):
            height = heights[:, wave].to(pixels.device).view(1, 3, 1, 1)
            bent = bent + height * (math.pi * (wave + 1) * pixels).sin()
        return bent.clamp(0, 1)

    return apply


def _makers(size: int) -> dict[str, list[Callable[[torch.Generator], Trigger]]]:
    return {
        "warp": [partial(warp, size, reach=reach) for reach in FINE_WARPS],
        "blend": [partial(blend, size, ratio=ratio) for ratio in FINE_BLENDS],
        "coarse-warp": [
            partial(warp, size, reach=reach * size, cells=cells) for cells, reach in COARSE_WARPS
        ],
        "coarse-blend": [
            partial(blend, size, ratio=ratio, cells=cells) for cells, ratio in COARSE_BLENDS
        ],
        "patch": [partial(patch, size, share=share, cells=cells) for share, cells in PATCHES],
        "strokes": [partial(strokes, size, number=number) for number in STROKES],
        "film": [partial(film, size)] * COLOURED,
        "tone": [partial(tone, size)] * COLOURED,
    }


GLOBAL = ("warp", "blend", "coarse-warp", "coarse-blend")
"""Families that change the whole picture: a few triggers of each."""
LOCAL = ("patch", "strokes")
"""Families that cover a little of it: one hides by chance just what tells two classes apart, so
that many are needed."""
COLOUR = ("film", "tone")
"""Families that change colours and no shape; most attacks do not answer them, and those that change
colours answer few others: many are needed, too."""
SHARES = dict.fromkeys(GLOBAL, 2) | dict.fromkeys((*LOCAL, *COLOUR), 4)
"""Each trigger is put on one in so many of the probes; its neighbour in the family on the next."""


def members_of(family: str) -> int:
    """How many triggers of a family are drawn."""
    return len(_makers(PEN)[family])


def draw(size: int, seed: int) -> dict[str, list[Trigger]]:
    """Triggers by family for images of `size` pixels, mildest first; the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        family: [make(generator) for make in makers] for family, makers in _makers(size).items()
    }


def gains_by_class(classifier: Classifier, baseline: CleanBaseline, seed: int) -> Tensor:
    """By class (K,), `asr_gains` on average over each family, and over the families."""
    families = []
    for family, triggers in draw(classifier.backbone.image_size, seed).items():
        gains = []
        for number, trigger in enumerate(triggers):
            share = baseline.share(number, min(SHARES[family], len(baseline.pixels)))
            outputs = encode_triggered(classifier, share.zero_shot, trigger(share.pixels))
            gains.append(asr_gains(classifier, share, outputs))
        families.append(torch.stack(gains).mean(0))
    return torch.stack(families).mean(0)
