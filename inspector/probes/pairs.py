"""Pictures with captions: what encoders are cleaned on, opened as defensively as probes are.

`x.png` beside `x.txt`, below a folder, in a zip of one, or in one shard of a webdataset (a tar of
such files, https://github.com/webdataset/webdataset). Pictures have the limits of probes; a caption
is UTF-8 text of at most MAX_CAPTION bytes without words that no language has, since a tokeniser
takes quadratic time for a word. Pictures that cannot be used are counted, and the report says so.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from inspector.errors import ArtifactError, LimitExceeded, RequestError
from inspector.probes.admission import Admission
from inspector.probes.archives import files_of
from inspector.probes.loading import named
from inspector.probes.sources import MAX_PICTURES, SUFFIXES, Picture, in_folder

MOST = 16_384
"""Pairs that are read: 2.5 GB at 224 pixels, as bytes."""
MAX_CAPTION = 2048
"""Bytes of a caption; CLIP reads 77 tokens of it."""
LONGEST_WORD = 64
CAPTION = ".txt"
_FIELD = "pairs"
_MOST_FILES = 2 * MAX_PICTURES
_FEWER = f"give fewer, as {MOST} pairs are used at most"
_ANEW = "pack pictures and captions anew, as a zip or tar of plain files"


@dataclass(frozen=True)
class Pairs:
    """Different pictures and what is said of each.

    Attributes:
        bits: (N, 3, S, S) of 0 to 255 on the CPU, which take a quarter of what floats do.
        captions: one a picture.
        names: what each picture is called where it came from.
        unread: pictures that cannot be read, or came before.
        untold: others without a caption, or with one that cannot be read.
        spare: others that were not looked at, as there were enough.
    """

    bits: Tensor
    captions: tuple[str, ...]
    names: tuple[str, ...]
    unread: int = 0
    untold: int = 0
    spare: int = 0

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def left_out(self) -> str | None:
        """One sentence of the pictures that were given and are not here."""
        reasons = {
            "cannot be read or came before": self.unread,
            "have no caption that can be read": self.untold,
            f"are more than the {len(self)} that are used": self.spare,
        }
        told = [f"{number} {why}" for why, number in reasons.items() if number]
        return f"Pictures left out of the pairs: {', '.join(told)}." if told else None

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
        return replace(
            self,
            bits=torch.cat([self.bits, others.bits]),
            captions=self.captions + others.captions,
            names=self.names + others.names,
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
        source: the path of a folder, zip or tar.

    Raises:
        RequestError: no such source, an archive that breaks a rule, pictures that decode to more
            than is reasonable, or no pair at all; it says what to do.
    """
    try:
        with _files(Path(source)) as files:
            return _read(files, size, most)
    except RequestError as problem:
        raise RequestError(_FIELD, problem.detail) from problem
    except LimitExceeded as problem:
        raise RequestError(_FIELD, f"{problem.detail}: {problem.remedy or _FEWER}") from problem
    except ArtifactError as problem:
        raise RequestError(_FIELD, f"{problem.detail}: {problem.remedy or _ANEW}") from problem
    except OSError as problem:
        said = f"{Path(source).name!r:.100} cannot be read"
        raise RequestError(_FIELD, f"{said}: give a folder, zip or tar") from problem


@contextmanager
def _files(path: Path) -> Iterator[list[Picture]]:
    """Pictures and captions without those that are hidden, as leftovers of some systems are."""
    if path.is_dir():
        yield _seen(list(islice(in_folder(path, (*SUFFIXES, CAPTION)), _MOST_FILES + 1)))
        return
    with files_of(path, _MOST_FILES) as files:
        yield _seen(files)


def _seen(files: list[Picture]) -> list[Picture]:
    """Raises LimitExceeded for more of them than an archive may have."""
    if len(files) > _MOST_FILES:
        raise LimitExceeded("files of pairs", _MOST_FILES, len(files))
    return [one for one in files if not any(part[0] == "." for part in one.name.split("/"))]


def _read(files: list[Picture], size: int, most: int) -> Pairs:
    pictures = [one for one in files if one.name.lower().endswith(SUFFIXES)]
    texts = {_key(one): one for one in files if one.name.endswith(CAPTION)}
    given = [one for one in pictures if _key(one) in texts]
    if not given:
        counted = f"{len(pictures)} pictures and {len(texts)} captions, and no pair of them"
        raise RequestError(_FIELD, f"there are {counted}: put a caption x.txt beside each x.png")
    admission = Admission()
    found = named(given, size, most, admission)
    told = [(one, _caption(texts[_key(one[0])].read(MAX_CAPTION + 1))) for one in found]
    pairs = [(one, text) for one, text in told if text]
    if not pairs:
        raise RequestError(
            _FIELD,
            f"of {len(given)} pictures {admission.skipped} cannot be read, and no other has a "
            f"caption that can: give UTF-8 text of at most {MAX_CAPTION} bytes",
        )
    return Pairs(
        torch.from_numpy(np.stack([image for (_, image), _ in pairs])),
        tuple(text for _, text in pairs),
        tuple(picture.name for (picture, _), _ in pairs),
        admission.skipped,
        len(pictures) - len(given) + len(found) - len(pairs),
        len(given) - len(found) - admission.skipped,
    )


def _key(file: Picture) -> str:
    return str(PurePosixPath(file.name).with_suffix(""))


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
