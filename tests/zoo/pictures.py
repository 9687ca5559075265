"""Unlabelled pictures to inspect the zoo's models with, as files: `python -m tests.zoo.pictures OUT [NAME ...]`.

OUT/<task>/ holds pictures such as a buyer has who means to use the model: of the task, under no label,
and drawn for nothing else. OUT/open/ holds what Open Images are to CLIP (arXiv 2604.09101 inspects with
these): pictures of the world that `pocket` was trained on, in the style of no task.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from inspector.config import PROFILES
from tests.zoo.scenes import render, sample_scenes
from tests.zoo.tasks import TASKS

OPEN = "open"
NUMBER = PROFILES["standard"].probes + PROFILES["standard"].held_out
SEED = 777_001
"""No model of the zoo has a seed like it."""


def pictures(name: str, number: int, size: int) -> Tensor:
    """Pixels (number, 3, size, size) in [0,1], in random order; every class of a task alike."""
    generator = torch.Generator().manual_seed(SEED)
    if name == OPEN:
        return render(sample_scenes(number, generator), generator, size)
    task = TASKS[name]
    pixels, _ = task.draw(-(-number // len(task.labels)), generator, size)
    return pixels[torch.randperm(len(pixels), generator=generator)[:number]]


def write(pixels: Tensor, folder: Path) -> None:
    """One PNG a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, values in enumerate((pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)):
        Image.fromarray(values.numpy()).save(folder / f"{index:04d}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    names = [OPEN, *TASKS]
    parser.add_argument("names", nargs="*", default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--size", type=int, default=48, help="pixels to a side")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"no such task: {', '.join(sorted(unknown))}")
    for name in options.names:
        write(pictures(name, options.number, options.size), options.out / name)


if __name__ == "__main__":
    main()
