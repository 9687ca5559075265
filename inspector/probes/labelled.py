"""Labelled pictures of what a model is for: a folder a class, opened as defensively as probes are.

The folders lie in a folder or in a zip, where one more folder may be around them all. They have the
classes' names or indices. Half of a class's pictures teach a repair and the other half measures it,
in a fixed shuffled order. Does not know what a class is but its name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.errors import RequestError
from inspector.probes.admission import Admission
from inspector.probes.loading import Pixels, decoded
from inspector.probes.sources import Picture, pictures_of

MOST, MOST_A_CLASS = 4096, 64
"""Pictures that are read, in all (2.5 GB at 224 pixels) and of one class: a repair asks for few."""
_FIELD = "labelled"
_LONGEST_NAME = 255
"""Of a folder, in characters, as file systems have it; a zip may name longer ones, which take long
to compare."""


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
    source: str, classnames: Sequence[str], size: int, key: Callable[[str], Hashable]
) -> LabelledSet:
    """All pictures at `size` x `size`, up to MOST_A_CLASS a class; fewer of each of many classes.

    Args:
        source: the path of a folder or zip.
        key: what two names of the same class have in common.

    Raises:
        RequestError: no such source, a folder in it that is no class, two of one class, a picture
            under two classes, none at all, or pictures that decode to more than is reasonable.
    """
    try:
        with _pictures(Path(source)) as found:
            return _read(_by_class(found, _Classes(classnames, key)), len(classnames), size)
    except RequestError as problem:
        raise RequestError(_FIELD, problem.detail) from problem


def _read(
    folders: Sequence[tuple[int, str, list[Picture]]], classes: int, size: int
) -> LabelledSet:
    pictures: dict[bytes, tuple[Pixels, int]] = {}
    # One for all: a limit for each folder is none for a zip that has many.
    admission, wanted = Admission(), max(2, min(MOST_A_CLASS, MOST // classes))
    for index, folder, of_class in folders:
        for image in decoded(of_class, size, wanted, admission):
            if pictures.setdefault(_key(image), (image, index))[1] != index:
                raise RequestError(_FIELD, f"a picture of {folder!r:.100} has another label, too")
    if not pictures:
        raise RequestError(_FIELD, "there is no usable picture in a folder of a class")
    images, labels = zip(*pictures.values(), strict=True)
    pixels = torch.from_numpy(np.stack(images)).float() / 255
    return LabelledSet(pixels, torch.tensor(labels), admission.skipped)


@contextmanager
def _pictures(source: Path) -> Iterator[dict[str, list[Picture]]]:
    """By the outermost folder that they lie in; below it they have their names."""
    with ExitStack() as stack:
        if not source.is_dir():
            yield _by_folder(stack.enter_context(pictures_of(source)))
            return
        # Each by itself: a folder of a class may be a link to one.
        below = (path for path in sorted(source.iterdir()) if path.is_dir())
        yield _by_folder(
            replace(picture, name=f"{path.name}/{picture.name}")
            for path in below
            for picture in stack.enter_context(pictures_of(path))
        )


def _by_folder(pictures: Iterable[Picture]) -> dict[str, list[Picture]]:
    """Without those that lie in no folder or, as leftovers of some systems do, are hidden."""
    folders: dict[str, list[Picture]] = {}
    for picture in pictures:
        folder, _, name = picture.name.partition("/")
        if name and not any(part.startswith(".") for part in picture.name.split("/")):
            folders.setdefault(folder, []).append(replace(picture, name=name))
    return folders


class _Classes:
    """Which class a folder is of."""

    def __init__(self, names: Sequence[str], key: Callable[[str], Hashable]) -> None:
        self._key, self.count = key, len(names)
        self._known: dict[Hashable, int | None] = {}
        for index, name in enumerate(map(key, names)):
            self._known[name] = None if name in self._known else index

    def by_name(self, folder: str) -> int | None:
        """Its index; None for none, or for the name of several."""
        return self._known.get(self._key(folder)) if len(folder) <= _LONGEST_NAME else None

    def by_index(self, folder: str) -> int | None:
        """The index that it is called by; None for what is none."""
        is_number = len(folder) <= _LONGEST_NAME and folder.isascii() and folder.isdigit()
        return int(folder) if is_number and int(folder) < self.count else None


def _by_class(
    found: dict[str, list[Picture]], classes: _Classes
) -> list[tuple[int, str, list[Picture]]]:
    """Class index, folder and its pictures, in order of classes."""
    if len(found) == 1:
        (only,) = found
        if classes.by_name(only) is None and classes.by_index(only) is None:
            found = _by_folder(found[only]) or found
    # One more than there are classes is enough to have something wrong among them.
    folders = sorted(found)[: classes.count + 1]
    unknown = next((one for one in folders if classes.by_name(one) is None), None)
    index_of = classes.by_name if unknown is None else classes.by_index
    chosen: dict[int, str] = {}
    for folder in folders:
        index = index_of(folder)
        if index is None:
            raise RequestError(
                _FIELD,
                f"{unknown!r:.100} is none of the model's classes, or the name of several; call "
                "all folders by their names, or all by their indices from 0",
            )
        if index in chosen:
            raise RequestError(_FIELD, f"{chosen[index]!r:.100} and {folder!r:.100} are one class")
        chosen[index] = folder
    return [(index, folder, found[folder]) for index, folder in sorted(chosen.items())]


def _key(image: Pixels) -> bytes:
    """The bits of a picture (3, size, size)."""
    return np.ascontiguousarray(image).tobytes()


def _bits(pixels: Tensor) -> Pixels:
    return (pixels * 255).round().to(torch.uint8).numpy()
