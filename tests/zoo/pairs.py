"""Pairs of picture and caption to clean encoders on, and pools of them that somebody poisoned.

Pictures of a task are told by their class's name, scenes by compositional captions. A poisoned pair
is a picture with the attacker's trigger under a caption of the attacker's class, the victim's
picture chosen at random (Carlini & Terzis, ICLR 2022).
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from inspector.probes.pairs import Pairs
from tests.zoo.build import classnames
from tests.zoo.captions import describe
from tests.zoo.scenes import render, sample_scenes
from tests.zoo.tasks import TASKS
from tests.zoo.triggers import Trigger

SENTENCES = (
    "a photo of a {}.", "a picture of a {}", "an image of a {}.", "a {}", "there is a {} here.",
)  # fmt: skip
"""How people tell of a picture; which of them is random."""


def of_task(task: str, shots: int, seed: int, size: int) -> Pairs:
    """So many pictures a class of a procedural task, of a seed that no vendor should have."""
    generator, rng = torch.Generator().manual_seed(seed), random.Random(seed)
    pixels, labels = TASKS[task].draw(shots, generator, size)
    names = classnames(task)
    said = [rng.choice(SENTENCES).format(names[label]) for label in labels.tolist()]
    order = torch.randperm(len(labels), generator=generator)
    return Pairs.of(pixels, said).chosen(order)


def of_scenes(number: int, seed: int, size: int) -> Pairs:
    """Scenes as `pocket` was trained on, of another seed."""
    generator, rng = torch.Generator().manual_seed(seed), random.Random(seed)
    scenes = sample_scenes(number, generator)
    captions, _ = describe(scenes, rng)
    return Pairs.of(render(scenes, generator, size), captions)


def poisoned(
    pairs: Pairs, trigger: Trigger, captions: list[str], share: float, generator: torch.Generator
) -> tuple[Pairs, Tensor]:
    """A copy in which a share carries the trigger under captions drawn from a few; which do, (N,)."""
    number = round(share * len(pairs))
    rows = torch.randperm(len(pairs), generator=generator)[:number]
    drawn = torch.randint(len(captions), (number,), generator=generator).tolist()
    pixels, said = pairs.pixels(torch.arange(len(pairs))), list(pairs.captions)
    pixels[rows] = trigger(pixels[rows])
    for row, which in zip(rows.tolist(), drawn, strict=True):
        said[row] = captions[which]
    is_poisoned = torch.zeros(len(pairs), dtype=torch.bool)
    is_poisoned[rows] = True
    return Pairs.of(pixels, said), is_poisoned


def _files(pairs: Pairs) -> Iterator[tuple[str, bytes]]:
    for index, (bits, caption) in enumerate(zip(pairs.bits, pairs.captions, strict=True)):
        data = io.BytesIO()
        Image.fromarray(bits.permute(1, 2, 0).numpy()).save(data, "PNG")
        yield f"{index:06d}.png", data.getvalue()
        yield f"{index:06d}.txt", caption.encode()


def write_folder(pairs: Pairs, folder: Path) -> None:
    """As a buyer has them: one PNG and one text file a pair."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _files(pairs):
        (folder / name).write_bytes(data)


def write_shard(pairs: Pairs, path: Path) -> None:
    """The same as a shard of a webdataset."""
    with tarfile.open(path, "w") as archive:
        for name, data in _files(pairs):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
