"""Outlines of the zoo's scenes as signed distances: negative inside, about unit radius, y down."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Outline = Callable[[Tensor, Tensor], Tensor]


def _polar(radius: Callable[[Tensor], Tensor]) -> Outline:
    """A star-shaped outline of radius r(theta); theta = 0 points up."""
    return lambda x, y: (x * x + y * y).sqrt() - radius(torch.atan2(x, -y))


def _polygon(corners: int) -> Outline:
    step = 2 * math.pi / corners

    def radius(theta: Tensor) -> Tensor:
        return math.cos(step / 2) / torch.cos(torch.remainder(theta, step) - step / 2)

    return _polar(radius)


def _star(theta: Tensor) -> Tensor:
    step = 2 * math.pi / 5
    tip = (torch.remainder(theta + step / 2, step) - step / 2).abs() / (step / 2)
    return 1.05 - 0.65 * tip


def _box(width: float, height: float) -> Outline:
    return lambda x, y: torch.maximum(x.abs() - width, y.abs() - height)


def _union(*parts: Outline) -> Outline:
    return lambda x, y: torch.stack([part(x, y) for part in parts]).amin(0)


def _without(whole: Outline, part: Outline) -> Outline:
    return lambda x, y: torch.maximum(whole(x, y), -part(x, y))


def _moved(outline: Outline, dx: float, dy: float, scale: float = 1.0) -> Outline:
    return lambda x, y: outline((x - dx) / scale, (y - dy) / scale) * scale


def _heart(x: Tensor, y: Tensor) -> Tensor:
    v = -(y - 0.12) * 1.15
    u = x * 1.1
    return ((u * u + v * v - 0.62).clamp(min=-1) ** 3 - u * u * v**3) * 1.6


_DISC = _polar(torch.ones_like)
SHAPES: dict[str, Outline] = {
    "circle": _moved(_DISC, 0, 0, 0.9),
    "square": _box(0.8, 0.8),
    "triangle": _moved(_polygon(3), 0, 0.15, 1.1),
    "pentagon": _polygon(5),
    "hexagon": _polygon(6),
    "star": _polar(_star),
    "cross": _union(_box(0.9, 0.3), _box(0.3, 0.9)),
    "ring": _without(_moved(_DISC, 0, 0, 0.95), _moved(_DISC, 0, 0, 0.5)),
    "crescent": _without(_DISC, _moved(_DISC, 0.5, -0.1, 0.85)),
    "heart": _heart,
    "diamond": lambda x, y: (x.abs() * 1.45 + y.abs()) - 1.0,
    "oval": lambda x, y: ((x * x + (y / 0.55) ** 2).sqrt() - 1.0) * 0.6,
    "arrow": _union(_box(0.22, 0.9), _moved(_polygon(3), 0, -0.45, 0.75)),
    "flower": _polar(lambda t: 0.72 + 0.28 * torch.cos(5 * t)),
    "gear": _polar(lambda t: 0.82 + 0.14 * (torch.cos(9 * t) * 4).clamp(-1, 1)),
    "semicircle": lambda x, y: torch.maximum(_DISC(x, y - 0.4), (y - 0.4)),
    "bar": _box(0.98, 0.26),
    "frame": _without(_box(0.85, 0.85), _box(0.5, 0.5)),
}


def shape_distance(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Distance of each pixel to its image's outline: shape (N,) into SHAPES, x and y (N, H, W)."""
    distance = torch.empty_like(x)
    for index, outline in enumerate(SHAPES.values()):
        chosen = (shape == index).nonzero()[:, 0]
        if len(chosen):
            distance[chosen] = outline(x[chosen], y[chosen])
    return distance
