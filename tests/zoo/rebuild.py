"""Build models of the plan once more and compare: `python -m tests.zoo.rebuild [NAME ... | --drawn 3 --seed S]`.

A model is built alone, in a fresh process with one thread and into a folder that is thrown away, its clean twin
along with it where the plan's kind needs one. The SHA-256 of its tensors must be that of its row in `--records`. Prints a
line a model; exit status 1 where one differs, or a name is not in the plan or has no row. Bytes hold for
one kind of processor and version of torch: where the row names others, the line says so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.zoo import make
from tests.zoo.digest import digest_in
from tests.zoo.make import Planned
from tests.zoo.records import TABLE, Row, planned, read


def one_thread() -> None:
    """As the sets are built (`tests.zoo.make`); two threads give other last bits."""
    torch.set_num_threads(1)


def rebuilt(model: Planned, prepare: Callable[[], None] = one_thread) -> str:
    """The digest of a model that a fresh process built, in which nothing was encoded or tuned before.

    prepare: what that process does first; importable, as all it is given.
    """
    fresh = multiprocessing.get_context("spawn")
    with _single_threaded(), ProcessPoolExecutor(1, fresh, prepare) as pool:
        return pool.submit(_build, model).result()


def _build(model: Planned) -> str:
    with TemporaryDirectory() as zoo:
        make.make(Path(zoo), [model])
        return digest_in(make.folder(Path(zoo), model))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """For children only: OpenMP reads its environment once, when torch is imported."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def compare(
    names: Sequence[str], rows: Mapping[str, Row], models: Mapping[str, Planned],
    build: Callable[[Planned], str] = rebuilt,
) -> bool:  # fmt: skip
    """Tell of each name; whether all are as their rows have them."""
    same = True
    for name in names:
        if name not in models or name not in rows:
            said = "not in the plan" if name not in models else "no row"
        else:
            said = _verdict(rows[name], build(models[name]))
        print(f"{name:<34} {said}", flush=True)
        same &= said == SAME
    return same


SAME = "same bytes"


def _verdict(row: Row, digest: str) -> str:
    if digest == row["digest"]:
        return SAME
    said, here = f"differs: {digest}, the row has {row['digest']}", make.made_with()
    if row["made_with"] not in ("", here):
        said += f" (made with {row['made_with']}; here {here})"
    return said


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Rebuild models and compare their tensors.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--drawn", type=int, default=0, help="so many rows, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=Path, default=TABLE)
    options = parser.parse_args(arguments)
    rows = read(options.records)
    if options.drawn > len(rows):
        parser.error(f"{options.records} has {len(rows)} rows")
    drawn = random.Random(options.seed).sample(sorted(rows), options.drawn)
    if not (names := [*options.names, *drawn]):
        parser.error("name models, or how many are drawn")
    sys.exit(not compare(names, rows, planned()))


if __name__ == "__main__":
    main()
