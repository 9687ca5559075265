"""Tasks on real photographs from ../shared/images, with the interface of `tests.zoo.tasks.Task`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SHARED = Path(__file__).parents[2].parent / "shared"


def read_image(path: Path, size: int) -> Tensor:
    """Pixels (3, size, size) in [0,1]: shortest side resized bicubically, then centre crop."""
    image = Image.open(path).convert("RGB")
    scale = size / min(image.size)
    image = image.resize(
        (max(size, round(image.width * scale)), max(size, round(image.height * scale))),
        Image.Resampling.BICUBIC,
    )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    image = image.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


@dataclass(frozen=True)
class PhotoTask:
    """One labelled set: `folder` holds classes.txt and index.tsv; of its classes `only`, where given."""

    folder: Path
    only: tuple[str, ...] = ()

    @property
    def classes(self) -> list[str]:
        every = (self.folder / "classes.txt").read_text().strip().split("\n")
        return [name for name in every if not self.only or name in self.only]

    @property
    def classnames(self) -> list[str]:
        """As a vendor writes them: by class_names.tsv where classes are numbered."""
        names = self.folder / "class_names.tsv"
        if names.exists():
            written = dict(line.split("\t") for line in names.read_text().strip().split("\n"))
            return [written[name] for name in self.classes]
        return [name.replace("_", " ") for name in self.classes]

    def load(
        self, split: str, limit: int, generator: torch.Generator, size: int
    ) -> tuple[Tensor, Tensor]:
        """Up to `limit` images a class of `split`, class by class."""
        with (self.folder / "index.tsv").open() as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]
        pixels, labels = [], []
        for label, name in enumerate(self.classes):
            files = [row["file"] for row in rows if row["class"] == name]
            for index in torch.randperm(len(files), generator=generator)[:limit].tolist():
                pixels.append(read_image(self.folder / files[index], size))
                labels.append(label)
        return torch.stack(pixels), torch.tensor(labels)
