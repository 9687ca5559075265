"""Pictures with captions: what encoders are cleaned on, opened as defensively as probes are.

`x.png` beside `x.txt`, below a folder or in one shard of a webdataset (a tar of such files,
https://github.com/webdataset/webdataset). Nothing is extracted and nothing is run: a tar is read by
the reader's own code, which refuses what tars may mean in two ways. Pictures have the limits of
probes; a caption is UTF-8 text of at most MAX_CAPTION bytes without words that no language has,
since a tokeniser takes quadratic time for a word. What has no other half is counted, not used.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from inspector.checkpoint.formats.tars import TarMember, read_members
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.source import Source, open_source
from inspector.errors import ArtifactError, RequestError
from inspector.probes.admission import Admission
from inspector.probes.loading import named
from inspector.probes.sources import SUFFIXES, Picture, pictures_of

MOST = 16_384
"""Pairs that are read: 2.5 GB at 224 pixels, as bytes."""
MAX_CAPTION = 2048
"""Bytes of a caption; CLIP reads 77 tokens of it."""
LONGEST_WORD = 64
CAPTION = ".txt"
_FIELD = "pairs"
_LIMITS = Limits(archive_members=2 * 200_000)

Told = Callable[[Picture], bytes | None]
"""The bytes of a picture's caption, None where there is none."""


@dataclass(frozen=True)
class Pairs:
    """Different pictures and what is said of each.

    Attributes:
        bits: (N, 3, S, S) of 0 to 255 on the CPU, which take a quarter of what floats do.
        captions: one a picture.
        names: what each picture is called where it came from.
        skipped: pictures that cannot be read, came before, or have no caption that can be read.
    """

    bits: Tensor
    captions: tuple[str, ...]
    names: tuple[str, ...]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.captions)

    def pixels(self, rows: Tensor) -> Tensor:
        """Pictures (n, 3, S, S) in [0,1] of rows (n,)."""
        return self.bits[rows].float() / 255

    def chosen(self, rows: Tensor) -> Pairs:
        """Those of rows (n,), in their order."""
        indices = rows.tolist()
        captions, names = (
            tuple(values[index] for index in indices) for values in (self.captions, self.names)
        )
        return replace(self, bits=self.bits[rows], captions=captions, names=names)

    def and_also(self, others: Pairs) -> Pairs:
        """These, and behind them others of the same size."""
        return Pairs(
            torch.cat([self.bits, others.bits]),
            self.captions + others.captions,
            self.names + others.names,
            self.skipped + others.skipped,
        )

    @classmethod
    def of(cls, pixels: Tensor, captions: list[str]) -> Pairs:
        """Of pictures (N, 3, S, S) in [0,1] that are at hand."""
        bits = (pixels * 255).round().to(torch.uint8).cpu()
        names = tuple(f"{index:06d}" for index in range(len(captions)))
        return cls(bits, tuple(captions), names)


def load_pairs(source: str, size: int, most: int = MOST) -> Pairs:
    """Up to `most` pairs at `size` x `size`, in one fixed shuffled order.

    Args:
        source: the path of a folder, or of a tar.

    Raises:
        RequestError: no such source, a tar that breaks a rule, pictures that decode to more than is
            reasonable, or no pair at all.
    """
    admission = Admission()
    try:
        with _opened(Path(source)) as (pictures, told):
            found = named(pictures, size, most, admission)
            texts = [_caption(told(picture)) for picture, _ in found]
    except RequestError as problem:
        raise RequestError(_FIELD, problem.detail) from problem
    except (ArtifactError, OSError) as problem:
        said = problem.detail if isinstance(problem, ArtifactError) else "it cannot be read"
        raise RequestError(_FIELD, f"{Path(source).name!r:.100}: {said}") from problem
    pairs = [(one, text) for one, text in zip(found, texts, strict=True) if text]
    if not pairs:
        raise RequestError(_FIELD, "there is no picture with a caption (x.png beside x.txt)")
    return Pairs(
        torch.from_numpy(np.stack([image for (_, image), _ in pairs])),
        tuple(text for _, text in pairs),
        tuple(picture.name for (picture, _), _ in pairs),
        admission.skipped + len(found) - len(pairs),
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[Picture], Told]]:
    """The pictures that have a caption, and how it is read."""
    if path.is_dir():
        with pictures_of(path) as pictures:
            yield [one for one in pictures if _beside(path, one).is_file()], partial(_text, path)
        return
    with open_source(path) as source:
        members = {
            member.name: member
            for member in read_members(source, _LIMITS)
            if member.is_file and member.name.lower().endswith((*SUFFIXES, CAPTION))
        }
        texts = {_key(name): one for name, one in members.items() if name.endswith(CAPTION)}
        pictures = [
            Picture(name, one.size, one.size, partial(_content, source, one))
            for name, one in members.items()
            if name.lower().endswith(SUFFIXES) and _key(name) in texts
        ]
        yield pictures, lambda picture: _content(source, texts[_key(picture.name)], MAX_CAPTION + 1)


def _key(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _beside(folder: Path, picture: Picture) -> Path:
    return (folder / picture.name).with_suffix(CAPTION)


def _text(folder: Path, picture: Picture) -> bytes:
    with _beside(folder, picture).open("rb") as file:
        return file.read(MAX_CAPTION + 1)


def _content(source: Source, member: TarMember, number: int) -> bytes:
    return source.read(member.offset, min(number, member.size))


def _caption(raw: bytes | None) -> str | None:
    """One line of text; None for what is none, or would keep a tokeniser busy."""
    if raw is None or len(raw) > MAX_CAPTION:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    plain = "".join(" " if unicodedata.category(one)[0] == "C" else one for one in text)
    words = plain.split()
    return " ".join(words) if words and max(map(len, words)) <= LONGEST_WORD else None
