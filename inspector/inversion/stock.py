"""Stock triggers: random members of trigger families that no search in an L-infinity ball imitates.

A prompt taught to answer one warp or one noise pattern answers others of the kind too, and one
taught an additive trigger often answers both: it has learned that whatever disturbs fine detail
means the target. So nothing is optimised; a few triggers of each family are drawn, and what counts
is how many probes they carry to a class. WaNet counters this by training against other warps
(Nguyen & Tran, ICLR 2021, "noise mode"); such an attacker must keep them apart from its own by their
grain, therefore fine and coarse ones are drawn. LOG.md, experiments 19 and 26.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.inversion.ground import Effect, Ground, effects_on, look, mean_effect

Trigger = Callable[[Tensor], Tensor]
"""Pixels (B, 3, S, S) in [0,1] to the same with the trigger."""

FINE_WARPS = (4.0, 8.0, 12.0, 24.0)
"""A fine warp moves every pixel on its own, by up to so many pixels along either axis."""
FINE_BLENDS = (0.15, 0.25, 0.25, 0.4)
"""Share of the noise in a blend of noise as fine as the picture."""
COARSE_WARPS = ((12, 1 / 8), (12, 1 / 4), (6, 1 / 6), (6, 1 / 3))
"""Cells along a side and reach in sides: displacements are drawn for cells and interpolated."""
COARSE_BLENDS = ((12, 0.2), (12, 0.3), (6, 0.2), (6, 0.3))
"""Cells of noise along a side, and its share. One trigger is drawn for each entry of all four:
LOG.md, experiment 26."""


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
    }


SHARES = 2
"""Each trigger is put on one in so many of the probes; its neighbour in the family on the next."""


def images(probes: int, turns: int = 1) -> int:
    """Pictures that the first `answers` of so many turns encodes for so many probes."""
    families = (FINE_WARPS, FINE_BLENDS, COARSE_WARPS, COARSE_BLENDS)
    return sum(
        len(range(number % SHARES, probes, SHARES))
        for family in families
        for number in range(len(family[::turns]))
    )


def drawn(size: int, seed: int) -> dict[str, list[Trigger]]:
    """The triggers of each family for images of `size` pixels, mildest first; the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        family: [make(generator) for make in makers] for family, makers in _makers(size).items()
    }


def answers(
    classifier: Classifier, ground: Ground, seed: int, turn: tuple[int, int] = (0, 1)
) -> list[dict[str, Effect]]:
    """For every class what the triggers of each family do to it, on average over the family.

    turn: which (from 0) of how many: one in so many triggers of each family.
    """
    times, turns = turn
    found: list[dict[str, Effect]] = [{} for _ in classifier.classnames]
    for family, triggers in drawn(classifier.backbone.image_size, seed).items():
        effects = []
        for number, trigger in enumerate(triggers[times % turns :: turns]):
            share = ground.share(number, SHARES)
            effects.append(effects_on(classifier, share, look(classifier, trigger(share.pixels))))
        for index, of_class in enumerate(zip(*effects, strict=True)):
            found[index][family] = mean_effect(of_class)
    return found
