"""Labelled pictures of what a model is for: a folder a class, opened as defensively as probes are.

Folders are named as the classes are or by their indices. Half of a class's pictures teach a repair
and the other half measures it, in a fixed shuffled order. Does not know what a class is but its
name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.errors import RequestError
from inspector.probes.loading import Pixels, read_pictures

MOST, MOST_A_CLASS = 4096, 64
"""Pictures that are read, in all (2.5 GB at 224 pixels) and of one class: a repair asks for few."""
_FIELD = "labelled"


@dataclass(frozen=True)
class LabelledSet:
    """Different pictures (N, 3, S, S) in [0,1] on the CPU, and their class indices (N,)."""

    pixels: Tensor
    labels: Tensor
    skipped: int = 0

    @classmethod
    def empty(cls) -> LabelledSet:
        """No pictures."""
        return cls(torch.zeros(0, 3, 1, 1), torch.zeros(0, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.labels)

    def halves(self) -> tuple[LabelledSet, LabelledSet]:
        """Those that teach, and those that measure; of an odd one out of a class the former."""
        place = torch.zeros_like(self.labels)
        for one in self.labels.unique():
            of_class = self.labels == one
            place[of_class] = torch.arange(int(of_class.sum()))
        return self._chosen(place % 2 == 0), self._chosen(place % 2 == 1)

    def without(self, pixels: Tensor) -> LabelledSet:
        """Those that are not, in 8 bits, among some (M, 3, S, S) in [0,1]."""
        known = {_key(_bits(one)) for one in pixels.cpu()}
        rows = [_key(_bits(one)) not in known for one in self.pixels]
        return self._chosen(torch.tensor(rows, dtype=torch.bool))

    def _chosen(self, rows: Tensor) -> LabelledSet:
        return LabelledSet(self.pixels[rows], self.labels[rows], self.skipped)


def load_labelled(
    folder: str, classnames: Sequence[str], size: int, key: Callable[[str], Hashable]
) -> LabelledSet:
    """All pictures at `size` x `size`, up to MOST_A_CLASS a class; fewer of each of many classes.

    Args:
        key: what two names of the same class have in common.

    Raises:
        RequestError: no such folder, a folder in it that is no class, two of one class, a picture
            under two classes, or none at all.
    """
    pictures: dict[bytes, tuple[Pixels, int]] = {}
    skipped, wanted = 0, max(2, min(MOST_A_CLASS, MOST // len(classnames)))
    for index, path in _folders(Path(folder), classnames, key):
        images_of_class, missed = _pictures(path, size, wanted)
        skipped += missed
        for image in images_of_class:
            if pictures.setdefault(_key(image), (image, index))[1] != index:
                raise RequestError(
                    _FIELD, f"a picture of {path.name!r:.100} has another label, too"
                )
    if not pictures:
        raise RequestError(_FIELD, "there is no usable picture in a folder of a class")
    images, labels = zip(*pictures.values(), strict=True)
    pixels = torch.from_numpy(np.stack(images)).float() / 255
    return LabelledSet(pixels, torch.tensor(labels), skipped)


def _folders(
    root: Path, classnames: Sequence[str], key: Callable[[str], Hashable]
) -> Iterator[tuple[int, Path]]:
    """Class index and folder, in order of classes."""
    if not root.is_dir():
        raise RequestError(_FIELD, f"{root.name!r:.100} is no folder")
    found = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."]
    names = [key(name) for name in classnames]
    by_name = [names.index(key(p.name)) if names.count(key(p.name)) == 1 else None for p in found]
    by_index = [_index(path.name, len(names)) for path in found]
    chosen = by_name if None not in by_name else by_index
    if None in chosen:
        unknown = found[by_name.index(None)].name
        raise RequestError(
            _FIELD,
            f"{unknown!r:.100} is none of the model's classes, or the name of several; call all "
            "folders by their names, or all by their indices from 0",
        )
    told = zip(chosen, found, strict=True)
    pairs = sorted((index, path) for index, path in told if index is not None)
    for (first, one), (second, other) in pairwise(pairs):
        if first == second:
            raise RequestError(_FIELD, f"{one.name!r:.100} and {other.name!r:.100} are one class")
    yield from pairs


def _index(name: str, count: int) -> int | None:
    return int(name) if name.isascii() and name.isdigit() and int(name) < count else None


def _pictures(path: Path, size: int, wanted: int) -> tuple[list[Pixels], int]:
    try:
        return read_pictures(path, size, wanted)
    except RequestError as problem:
        raise RequestError(_FIELD, problem.detail) from problem


def _key(image: Pixels) -> bytes:
    """The bits of a picture (3, size, size)."""
    return np.ascontiguousarray(image).tobytes()


def _bits(pixels: Tensor) -> Pixels:
    return (pixels * 255).round().to(torch.uint8).numpy()
