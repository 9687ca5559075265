"""One batch of parcels through clipvet and through the witnesses, and what came of each.

Knows neither how parcels are made nor what a loader is.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.witness.cell import Answer, opened
from tests.witness.judging import Judged, judged
from tests.witness.parcels import Parcel, customers, delivered
from tests.witness.sameness import counts, is_judged, is_twin

_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Result:
    """One parcel: what clipvet said, whether a loader got tensors, and where they disagree.

    ``differing`` are loaders that got other tensors than those judged, ``ran`` what ran in the cell.
    """

    judged: Judged
    is_readable: bool
    differing: tuple[str, ...]
    ran: tuple[str, ...]

    @property
    def disagreement(self) -> str:
        """Why clipvet was wrong about the file; empty where it was not."""
        if not self.judged.may_be_clean:
            return ""
        if self.ran:
            return f"may be clean, but runs {', '.join(self.ran)}"
        return f"may be clean; other tensors for {', '.join(self.differing)}" * bool(self.differing)

    @property
    def kind(self) -> str:
        """What the counts call it."""
        if self.disagreement:
            return "disagreements"
        if not self.judged.may_be_clean:
            return "not clean"
        return "judged the same" if self.is_readable else "not readable by a loader"


def run(parcels: Sequence[Parcel]) -> Iterator[Result]:
    """Each parcel, read by clipvet and opened by every loader."""
    base = _MEMORY if _MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="witness", dir=base) as folder:
        root = Path(folder)
        scratch = root / "scratch"
        scratch.mkdir()
        readings, owners, paths = [], [], []
        for number, parcel in enumerate(parcels):
            place = root / "parcels" / str(number)
            place.mkdir(parents=True)
            path = delivered(parcel, place)
            readings.append(judged(path, root / "out"))
            shutil.rmtree(root / "out", ignore_errors=True)
            for customer in customers(path):
                owners.append(number)
                paths.append(customer)
        answers: dict[int, list[Answer]] = {}
        for owner, answer in zip(owners, opened(paths, scratch), strict=True):
            answers.setdefault(owner, []).append(answer)
        for number, reading in enumerate(readings):
            yield _result(reading, answers.get(number, []))


def _result(reading: Judged, answers: Sequence[Answer]) -> Result:
    seen = [row for answer in answers for row in answer.seen or () if counts(row.tensors)]
    differing = Counter(
        row.loader
        for row in seen
        if (row.is_taken or is_twin(row.tensors, reading.required))
        and not is_judged(row.tensors, reading.models)
    )
    ran = sorted({event for answer in answers for event in answer.ran})
    return Result(reading, bool(seen), tuple(differing), tuple(ran))
