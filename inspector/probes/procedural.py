"""Built-in probe images: six unlike procedural families, deterministic, at any resolution.

Image `i` of seed `s` never depends on how many images are asked for. The families share no code
with the scenes that `pocket` was trained on. After Baradad et al., "Learning to See by Looking at
Noise" (arXiv 2106.05963), who show that such images carry natural-image statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def procedural_probes(number: int, size: int, seed: int = 0) -> Tensor:
    """Pixels in [0,1], float32 (number, 3, size, size); families take turns."""
    images = []
    for index in range(number):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        images.append(FAMILIES[index % len(FAMILIES)](size, generator))
    return torch.stack(images)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x, y


def _colour(field: Tensor, generator: torch.Generator) -> Tensor:
    """Map a scalar field (H, W) in [0,1] through a random three-stop colour ramp."""
    stops = _uniform(generator, 3, 3)
    low, high = (field * 2).clamp(0, 1), (field * 2 - 1).clamp(0, 1)
    ramp = stops[0, :, None, None] + low * (stops[1] - stops[0])[:, None, None]
    return ramp + high * (stops[2] - stops[1])[:, None, None]


def _octaves(size: int, generator: torch.Generator, channels: int, decay: float) -> Tensor:
    """Sum of smooth noise at octave scales, rescaled to [0,1] per channel."""
    total = torch.zeros(channels, size, size)
    for octave in range(1, 6):
        cells = 2**octave
        coarse = _uniform(generator, 1, channels, cells, cells)
        fine = functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
        total += decay**octave * fine[0]
    low, high = total.amin((1, 2), keepdim=True), total.amax((1, 2), keepdim=True)
    return (total - low) / (high - low + 1e-6)


def _clouds(size: int, generator: torch.Generator) -> Tensor:
    decay = 0.45 + 0.4 * _uniform(generator, 1).item()
    return _octaves(size, generator, 3, decay)


def _marble(size: int, generator: torch.Generator) -> Tensor:
    x, y = _grid(size)
    angle = _uniform(generator, 1).item() * math.pi
    bend = _octaves(size, generator, 1, 0.6)[0]
    phase = (x * math.cos(angle) + y * math.sin(angle)) * 3 + 3 * bend
    return _colour((2 * math.pi * phase).sin() * 0.5 + 0.5, generator)


def _mosaic(size: int, generator: torch.Generator) -> Tensor:
    """Voronoi cells, each flat or lightly shaded."""
    x, y = _grid(size)
    cells = int(torch.randint(5, 26, (1,), generator=generator))
    centres, colours = _uniform(generator, cells, 2), _uniform(generator, cells, 3)
    distance = (x[None] - centres[:, 0, None, None]) ** 2 + (
        y[None] - centres[:, 1, None, None]
    ) ** 2
    nearest, owner = distance.min(0)
    shade = 1 - 1.5 * nearest.sqrt()
    return colours[owner].permute(2, 0, 1) * shade.clamp(0.3, 1)


def _leaves(size: int, generator: torch.Generator) -> Tensor:
    """Dead leaves: many occluding ellipses with power-law sizes (Lee, Mumford, Huang 2001)."""
    x, y = _grid(size)
    image = _colour(_octaves(size, generator, 1, 0.5)[0], generator)
    for _ in range(40):
        place, colour = _uniform(generator, 5), _uniform(generator, 3)
        radius = 0.05 / (0.12 + place[2].item())
        turn = place[3].item() * math.pi
        dx, dy = x - place[0], y - place[1]
        u = math.cos(turn) * dx + math.sin(turn) * dy
        v = (math.cos(turn) * dy - math.sin(turn) * dx) / (0.35 + 0.6 * place[4])
        image = torch.where((u * u + v * v < radius * radius)[None], colour[:, None, None], image)
    return image


def _waves(size: int, generator: torch.Generator) -> Tensor:
    """Interference of radial waves from several sources."""
    x, y = _grid(size)
    field = torch.zeros(size, size)
    for _ in range(4):
        source = _uniform(generator, 4)
        distance = ((x - source[0] * 1.6 + 0.3) ** 2 + (y - source[1] * 1.6 + 0.3) ** 2).sqrt()
        field += (distance * (8 + 30 * source[2]) + 6.28 * source[3]).sin()
    return _colour(field / 8 + 0.5, generator)


def _network(size: int, generator: torch.Generator) -> Tensor:
    """A random network over coordinates (a compositional pattern-producing network)."""
    x, y = _grid(size)
    x, y = x * 2 - 1, y * 2 - 1
    states = torch.stack([x, y, (x * x + y * y).sqrt(), torch.ones_like(x)], -1)
    for width in (16, 16, 3):
        weights = torch.randn(states.shape[-1], width, generator=generator)
        states = (states @ weights * (1.4 if width > 3 else 0.8)).tanh()
    return (states * 0.5 + 0.5).permute(2, 0, 1).contiguous()


FAMILIES: tuple[Callable[[int, torch.Generator], Tensor], ...] = (
    _clouds, _marble, _mosaic, _leaves, _waves, _network,
)  # fmt: skip
