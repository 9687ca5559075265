"""What is odd about pairs that shall clean a model: a report, never silent dropping.

A few poisoned pairs among those that clean bring a backdoor back (arXiv 2311.14948). Four questions
are put to every pair, by means that the vendor has no hand in; the trusted encoders answer two:

patch         a small rough piece that other pictures have in the same place
overlay       fine detail of the whole picture that other pictures have, too
disagreement  a picture to which other captions of the pool fit better than its own
outlier       a picture whose feature is not what its caption's feature foretells in this pool

Patches and overlays are compared among BLOCK pictures at a time, since that takes quadratic time: a
share of the pool is the same share of a block. What a question misses is measured, not promised:
`python -m tests.bench.pair_screen`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.batches import BATCH
from inspector.probes.pairs import Pairs
from inspector.repair.encoders.training import text_features, tokens_of

QUESTIONS = ("patch", "overlay", "disagreement", "outlier")
BLOCK, LARGEST = 1024, 96
"""Pictures that are compared with one another, and pixels a side that they are scaled down to."""
WINDOWS = 6
"""A patch is a WINDOWS-th of the side; one is looked at every half of that."""
ROUGH = 0.04
"""Least deviation of fine detail in a window, in pixel units of [0,1]; flat walls are all alike."""
ALIKE_PATCH, ALIKE_OVERLAY = 0.9, 0.25
"""Least correlation of fine detail."""
PARTNERS = 3, 0.003
"""Pictures alike that make one suspect: so many, and at least this share of the block."""
FITTING, FENCE = 0.1, 3.0
"""Share of other captions that may always fit a picture as well as its own; where many do, so many
interquartile ranges above the upper quartile (Tukey's outer fence)."""
FAR = 3.0
"""Robust deviations that a picture may lie off. All thresholds were set on pools of two kinds and
are measured on others."""
_RIDGE, _SHRUNK = 0.1, 0.01
"""What is added to the diagonals of covariances, in mean variances: of captions, of residuals."""


@dataclass(frozen=True)
class Screened:
    """By question, which pairs are odd, (N,) of bool; `names` are the pictures'."""

    names: tuple[str, ...]
    odd: dict[str, Tensor]

    @property
    def suspects(self) -> Tensor:
        """Pairs (N,) that any question finds odd."""
        return torch.stack(list(self.odd.values())).any(0)

    def to_json(self) -> dict[str, Any]:
        """For a report: how many, and which by which question."""
        rows = self.suspects.nonzero()[:, 0].tolist()
        return {
            "pairs": len(self.names),
            "suspects": len(rows),
            "by_question": {name: int(odd.sum()) for name, odd in self.odd.items()},
            "rows": [
                {
                    "picture": self.names[row],
                    "questions": [name for name, odd in self.odd.items() if odd[row]],
                }
                for row in rows
            ],
        }


@torch.no_grad()
def screened(
    pairs: Pairs, backbone: Backbone, check: Callable[[], None] = lambda: None
) -> Screened:
    """Put all questions to all pairs.

    Args:
        backbone: trusted, and nothing of the vendor's.
        check: asked before every part of the work; what it raises ends the screen.
    """
    size = min(LARGEST, pairs.bits.shape[-1])
    patch, overlay = [], []
    for rows in torch.arange(len(pairs)).split(BLOCK):
        check()
        detail = _detail(pairs.pixels(rows), size)
        patch.append(_has_partners(patches_alike(detail)))
        overlay.append(_has_partners(_alike(detail.flatten(1), ALIKE_OVERLAY)))
    images, texts = features_of(pairs, backbone, check)
    same = _same(pairs.captions)
    odd = {
        "patch": torch.cat(patch),
        "overlay": torch.cat(overlay),
        "disagreement": _beyond_fence(fitting(images, texts, same)),
        "outlier": deviations(images, texts) > FAR,
    }
    return Screened(pairs.names, odd)


def features_of(
    pairs: Pairs, backbone: Backbone, check: Callable[[], None] = lambda: None
) -> tuple[Tensor, Tensor]:
    """Normalised features of pictures and captions, both (N, D), on the CPU."""
    images, texts = [], []
    for rows in torch.arange(len(pairs)).split(BATCH):
        check()
        said = [pairs.captions[row] for row in rows.tolist()]
        images.append(backbone.image_features(pairs.pixels(rows).to(backbone.device)).cpu())
        texts.append(text_features(backbone, tokens_of(backbone, said)).cpu())
    return torch.cat(images), torch.cat(texts)


def fitting(shown: Tensor, told: Tensor, same: Tensor) -> Tensor:
    """Share (N,) of other captions that fit a picture as well as its own.

    Args:
        shown, told: normalised features (N, D) of pictures and of their captions.
        same: numbers (N,), equal where captions are.
    """
    own = (shown * told).sum(1)
    shares = []
    for rows in torch.arange(len(shown)).split(BLOCK):
        fits = shown[rows] @ told.T >= own[rows, None]
        is_other = same[rows, None] != same[None]
        shares.append((fits & is_other).sum(1) / is_other.sum(1).clamp(min=1))
    return torch.cat(shares)


def deviations(shown: Tensor, told: Tensor) -> Tensor:
    """How far (N,) pictures lie from what captions foretell, in robust deviations of the pool.

    Ridge regression foretells the feature of a picture from its caption's, both (N, D); what is
    left is measured by its own covariance (Mahalanobis), so that a direction in which captions are
    usually right counts for more.
    """
    told, shown = told - told.mean(0), shown - shown.mean(0)
    foretold = told @ torch.linalg.solve(_covariance(told, _RIDGE), told.T @ shown / len(told))
    left = shown - foretold
    away = (left @ torch.linalg.inv(_covariance(left, _SHRUNK)) * left).sum(1).clamp(min=0).sqrt()
    spread = 1.4826 * (away - away.median()).abs().median()
    deviated: Tensor = (away - away.median()) / spread.clamp(min=1e-6)
    return deviated


def _covariance(centred: Tensor, added: float) -> Tensor:
    own: Tensor = centred.T @ centred / len(centred)
    size = len(own)
    return own + (added * own.trace() / size).clamp(min=1e-9) * torch.eye(size)


def _beyond_fence(shares: Tensor) -> Tensor:
    lower, upper = torch.quantile(shares.float(), torch.tensor([0.25, 0.75]))
    return shares > max(FITTING, float(upper + FENCE * (upper - lower)))


def patches_alike(detail: Tensor) -> Tensor:
    """Others that each picture shares a rough window with, (B,), of fine detail (B, 3, S, S)."""
    size = detail.shape[-1]
    window = max(4, size // WINDOWS)
    most = torch.zeros(len(detail), dtype=torch.long)
    for top in range(0, size - window + 1, window // 2):
        for left in range(0, size - window + 1, window // 2):
            piece = detail[:, :, top : top + window, left : left + window].flatten(1)
            rough = (piece.std(1) > ROUGH).nonzero()[:, 0]
            if len(rough) > 1:
                most[rough] = torch.maximum(most[rough], _alike(piece[rough], ALIKE_PATCH))
    return most


def _alike(pieces: Tensor, least: float) -> Tensor:
    """How many other rows (B, F) each row correlates with at least so much, (B,)."""
    centred = functional.normalize(pieces - pieces.mean(1, keepdim=True), dim=1)
    # Each but a flat one is like itself.
    others: Tensor = (centred @ centred.T >= least).sum(1) - (centred.norm(dim=1) > 0.5).long()
    return others


def _has_partners(counts: Tensor) -> Tensor:
    fewest, share = PARTNERS
    return counts >= max(fewest, share * len(counts))


def _detail(pixels: Tensor, size: int) -> Tensor:
    """What a 3 by 3 mean takes away, of pictures scaled down to `size`."""
    if pixels.shape[-1] > size:
        pixels = functional.interpolate(pixels, size, mode="area")
    smooth = functional.avg_pool2d(functional.pad(pixels, (1, 1, 1, 1), "reflect"), 3, 1)
    return pixels - smooth


def _same(captions: tuple[str, ...]) -> Tensor:
    """A number for each caption (N,), the same for the same words."""
    known: dict[str, int] = {}
    return torch.tensor([known.setdefault(one.lower(), len(known)) for one in captions])
