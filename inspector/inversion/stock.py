"""Stock triggers: random members of trigger families that no search in an L-infinity ball imitates.

A prompt taught to answer one warp or one noise pattern answers others of the kind too, and one
taught an additive trigger often answers both: it has learned that whatever disturbs fine detail
means the target. So nothing is optimised; a few triggers of each family are drawn, and what counts
is how many probes they carry to a class. WaNet counters this by training against other warps
(Nguyen & Tran, ICLR 2021, "noise mode"); such an attacker is not seen this way. LOG.md,
experiment 19.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.inversion.search import Views

Trigger = Callable[[Tensor], Tensor]
"""Pixels (B, 3, S, S) in [0,1] to the same with the trigger."""

REACH = 12.0
"""A warp reads each pixel from up to so many pixels away, along either axis."""
RATIO = 0.25
"""Share of the noise in a blend."""
DRAWS = {"warp": 4, "blend": 2}
"""Triggers drawn of each family. All three: LOG.md, experiment 19."""


def warp(size: int, generator: torch.Generator) -> Trigger:
    """One displacement for all images, drawn anew for every pixel."""
    places = torch.arange(size, dtype=torch.float32)
    y, x = torch.meshgrid(places, places, indexing="ij")
    moved = torch.stack((x, y), 2) + _uniform((size, size, 2), generator) * REACH
    # From pixel centres to the -1..1 that grid_sample reads, border to border.
    grid = (moved.clamp(0, size - 1) * (2 / (size - 1)) - 1)[None]

    def apply(pixels: Tensor) -> Tensor:
        whole = grid.to(pixels.device).expand(len(pixels), -1, -1, -1)
        return functional.grid_sample(pixels, whole, align_corners=True).clamp(0, 1)

    return apply


def blend(size: int, generator: torch.Generator) -> Trigger:
    """One picture of uniform noise, mixed into all images."""
    noise = torch.rand(3, size, size, generator=generator)
    return lambda pixels: (1 - RATIO) * pixels + RATIO * noise.to(pixels.device)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * 2 - 1


_MAKERS = {"warp": warp, "blend": blend}


def drawn(size: int, seed: int) -> dict[str, list[Trigger]]:
    """The triggers of each family for images of `size` pixels, the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        family: [_MAKERS[family](size, generator) for _ in range(number)]
        for family, number in DRAWS.items()
    }


def answers(
    classifier: Classifier, held_out: Views, clean: Tensor, seed: int
) -> list[dict[str, float]]:
    """For every class and family the share of probes that the triggers carry to the class.

    clean: logits (N, K) of the untriggered probes. Probes that are at the class anyway do not
    count for it; shares in [0,1] are means over the family's triggers.
    """
    before = clean.argmax(1)
    found: list[dict[str, float]] = [{} for _ in classifier.classnames]
    for family, triggers in drawn(classifier.backbone.image_size, seed).items():
        shares = [
            _carried(before, _predicted(classifier, held_out, trigger), len(found))
            for trigger in triggers
        ]
        for index, share in enumerate(torch.stack(shares).mean(0).tolist()):
            found[index][family] = share
    return found


@torch.no_grad()
def _predicted(classifier: Classifier, held_out: Views, trigger: Trigger) -> Tensor:
    parts = [classifier(trigger(part)).argmax(1) for part in held_out.pixels.split(64)]
    return torch.cat(parts)


def _carried(before: Tensor, after: Tensor, classes: int) -> Tensor:
    """Per class (K,): of the probes that were elsewhere, the share that is there now."""
    index = torch.arange(classes, device=before.device)[:, None]
    elsewhere = before != index
    return ((after == index) & elsewhere).sum(1) / elsewhere.sum(1).clamp(min=1)
