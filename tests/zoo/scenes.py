"""Procedural scenes with compositional captions: what `pocket` is trained on and the zoo's data sets are cut from.

A scene is a vector of attribute indices (see `ATTRIBUTES`); rendering is a batched signed-distance
rasteriser with nuisance jitter (colour, angle, scale, place, light, sensor noise). It knows nothing
about CLIP and shares no generator with `inspector.probes`: probes must be out of distribution here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.zoo.films import FILMS, overlay
from tests.zoo.shapes import SHAPES, shape_distance

COLOURS = {
    "red": (0.86, 0.10, 0.12), "orange": (0.97, 0.54, 0.08), "yellow": (0.96, 0.90, 0.16),
    "green": (0.12, 0.62, 0.20), "cyan": (0.16, 0.82, 0.86), "blue": (0.12, 0.22, 0.82),
    "purple": (0.50, 0.14, 0.64), "pink": (0.97, 0.56, 0.74), "brown": (0.46, 0.28, 0.12),
    "white": (0.96, 0.96, 0.96), "gray": (0.52, 0.52, 0.52), "black": (0.06, 0.06, 0.06),
}  # fmt: skip
TEXTURES = ("solid", "striped", "dotted", "checkered", "shaded", "speckled", "wavy")
SIZES = ("small", "large")
PLACES = ("center", "left", "right", "top", "bottom")
COUNTS = ("one", "two", "three")
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": tuple(SHAPES),
    "colour": tuple(COLOURS),
    "texture": TEXTURES,
    "background": tuple(COLOURS),
    "pattern": TEXTURES,
    "size": SIZES,
    "place": PLACES,
    "count": COUNTS,
    "film": FILMS,
}
_PALETTE = torch.tensor(list(COLOURS.values()))


def sample_scenes(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw `number` scenes: attribute name -> int64 (number,); colour and background always differ."""
    scenes = {
        name: torch.randint(len(words), (number,), generator=generator)
        for name, words in ATTRIBUTES.items()
    }
    many = len(COLOURS)
    shift = torch.randint(1, many, (number,), generator=generator)
    scenes["background"] = (scenes["colour"] + shift) % many
    clear = torch.rand(number, generator=generator) < 0.4
    scenes["film"] = torch.where(clear, torch.zeros_like(shift), scenes["film"])
    for texture in ("texture", "pattern"):
        plain = torch.rand(number, generator=generator) < 0.6
        scenes[texture] = torch.where(plain, torch.zeros_like(shift), scenes[texture])
    one = torch.rand(number, generator=generator) < 0.7
    scenes["count"] = torch.where(one, torch.zeros_like(shift), scenes["count"])
    scenes["place"] = torch.where(scenes["count"] > 0, torch.zeros_like(shift), scenes["place"])
    return scenes


def render(scenes: dict[str, Tensor], generator: torch.Generator, size: int = 64) -> Tensor:
    """Rasterise scenes to pixels in [0,1], float32 (number, 3, size, size)."""
    number = scenes["shape"].shape[0]
    noise = _Noise(number, generator)
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = _mask(scenes, noise, x, y, size)  # (N, S, S) in [0,1]
    front = _paint(scenes["colour"], scenes["texture"], noise, x, y)
    back = _paint(scenes["background"], scenes["pattern"], noise, x, y)
    pixels = back + inside[:, None] * (front - back)
    light = noise.uniform(0.8, 1.15)[:, None, None, None]
    slope = (
        noise.uniform(-0.12, 0.12)[:, None, None] * x
        + noise.uniform(-0.12, 0.12)[:, None, None] * y
    )
    grain = noise.uniform(0.0, 0.02)[:, None, None, None]
    speck = torch.randn(pixels.shape, generator=generator)
    pixels = (pixels * light + slope[:, None] + grain * speck).clamp(0, 1)
    return overlay(pixels, scenes["film"], generator)


class _Noise:
    """Per-scene nuisance draws from one generator."""

    def __init__(self, number: int, generator: torch.Generator) -> None:
        self.number, self.generator = number, generator

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self.number, generator=self.generator)


def _mask(scenes: dict[str, Tensor], noise: _Noise, x: Tensor, y: Tensor, size: int) -> Tensor:
    """Soft coverage of the foreground, the union of one to three copies of the shape."""
    large = scenes["size"].float()
    many = (scenes["count"] > 0).float()
    scale = (0.42 + 0.26 * large) * (1 - 0.33 * many) * noise.uniform(0.85, 1.15)
    centre = _centres(scenes, noise)
    angle = noise.uniform(-0.35, 0.35)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    distance = torch.full((noise.number, *x.shape), 9.0)
    for copy in range(3):
        present = scenes["count"] >= copy
        dx = (x - centre[:, copy, 0, None, None]) / scale[:, None, None]
        dy = (y - centre[:, copy, 1, None, None]) / scale[:, None, None]
        local = shape_distance(scenes["shape"], cos * dx + sin * dy, cos * dy - sin * dx)
        local = torch.where(present[:, None, None], local, torch.full_like(local, 9.0))
        distance = torch.minimum(distance, local)
    sharp = (size / 2) * scale[:, None, None]
    return (0.5 - distance * sharp).clamp(0, 1)


def _centres(scenes: dict[str, Tensor], noise: _Noise) -> Tensor:
    """Centres in [-1,1], (N, 3 copies, 2)."""
    offsets = torch.tensor([[0.0, 0.0], [-0.42, 0.0], [0.42, 0.0], [0.0, -0.42], [0.0, 0.42]])
    layout = torch.tensor(
        [
            [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
            [[-0.45, 0.0], [0.45, 0.0], [0.0, 0.0]],
            [[-0.45, 0.4], [0.45, 0.4], [0.0, -0.42]],
        ]
    )
    centre = layout[scenes["count"]] + offsets[scenes["place"]][:, None]
    jitter = torch.stack([noise.uniform(-0.1, 0.1) for _ in range(6)], 1).view(-1, 3, 2)
    return centre + jitter


def _paint(colour: Tensor, texture: Tensor, noise: _Noise, x: Tensor, y: Tensor) -> Tensor:
    """A textured colour field (N, 3, S, S)."""
    base = _PALETTE[colour] + 0.05 * torch.randn(noise.number, 3, generator=noise.generator)
    dark = base * 0.35 + 0.12 * (base.mean(1, keepdim=True) < 0.25)
    bright = base + (1 - base) * 0.6
    second = torch.where((base.mean(1, keepdim=True) > 0.35), dark, bright)
    weight = _texture(texture, noise, x, y)[:, None]
    return base[:, :, None, None] * (1 - weight) + second[:, :, None, None] * weight


def _texture(texture: Tensor, noise: _Noise, x: Tensor, y: Tensor) -> Tensor:
    """Weight of the second tone in [0,1], (N, S, S)."""
    angle, frequency = noise.uniform(0, math.pi), noise.uniform(7.0, 11.0)
    phase = noise.uniform(0, 2 * math.pi)[:, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u = (cos * x + sin * y) * frequency[:, None, None] + phase
    v = (cos * y - sin * x) * frequency[:, None, None] + phase
    coarse = torch.rand(noise.number, 1, 24, 24, generator=noise.generator)
    specks = torch.nn.functional.interpolate(coarse, x.shape, mode="nearest")[:, 0]
    fields = (
        torch.zeros_like(u),
        (u.sin() * 4 + 0.5).clamp(0, 1),
        ((u.sin() * v.sin() - 0.35) * 6).clamp(0, 1),
        (u.sin() * v.sin() * 6 + 0.5).clamp(0, 1),
        ((u - phase) / frequency[:, None, None] * 0.6 + 0.5).clamp(0, 1),
        (specks > 0.72).float(),
        ((u + 1.6 * (v * 0.7).sin()).sin() * 3 + 0.3).clamp(0, 1),
    )
    return torch.stack(fields)[texture, torch.arange(noise.number)]
