"""Unlabelled pictures to inspect the zoo's models with, as files: `python -m tests.zoo.pictures OUT [NAME ...]`.

They are of the size that a backbone takes, so that nothing is scaled: `--size`, else that of `pocket` for what
is rendered and that of the photographs' backbone for photographs.

OUT/<task>/ holds pictures such as a buyer has who means to use the model: of the task, under no label;
no model was tuned on them, and of procedural tasks none was tested on them either. OUT/open/ holds what Open
Images are to CLIP (arXiv 2604.09101 inspects with these): pictures of the world that `pocket` was trained
on, in the style of no task.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from inspector.profiles import PROFILES
from tests.zoo.build import load_task
from tests.zoo.plan import PHOTO_TASKS
from tests.zoo.scenes import render, sample_scenes
from tests.zoo.subsets import SUBSETS
from tests.zoo.tasks import TASKS

OPEN = "open"
NUMBER = PROFILES["standard"].probes + PROFILES["standard"].held_out
SEED = 777_001
"""No model of the zoo has a seed like it."""
POCKET_SIZE, PHOTO_SIZE = 48, 128


def usual_size(name: str) -> int:
    """What the backbone takes that most models of the task are tuned on."""
    return POCKET_SIZE if name == OPEN or name in TASKS else PHOTO_SIZE


def pictures(name: str, number: int, size: int | None = None) -> Tensor:
    """Up to `number` pictures (N, 3, S, S) in [0,1], in random order; S is `usual_size` if not told."""
    generator, size = torch.Generator().manual_seed(SEED), size or usual_size(name)
    if name == OPEN:
        return render(sample_scenes(number, generator), generator, size)
    if name in TASKS:
        task = TASKS[name]
        pixels, _ = task.draw(-(-number // len(task.labels)), generator, size)
    else:
        pixels = load_task(name, SEED, size, shots=1)[1].pixels
    return pixels[torch.randperm(len(pixels), generator=generator)[:number]]


def write(pixels: Tensor, folder: Path) -> None:
    """One PNG a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, values in enumerate((pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)):
        Image.fromarray(values.numpy()).save(folder / f"{index:04d}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    names = [OPEN, *TASKS, *dict.fromkeys((*PHOTO_TASKS, *SUBSETS))]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--size", type=int, help="pixels a side")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"no such task: {', '.join(sorted(unknown))}")
    for name in options.names or [OPEN, *TASKS]:
        write(pictures(name, options.number, options.size), options.out / name)


if __name__ == "__main__":
    main()
