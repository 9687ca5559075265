"""Build the exam's models: `python -m tests.zoo.make OUT [choices]`, resumable and in several processes.

Writes OUT/<task>-<seed>-<kind>/ as `tests.zoo.build` does, a model a line, then how many of the
chosen attacks took. A model whose truth.json is there is not built again, so a run that was cut off
goes on where it stopped. `--part 1/2` and `--part 2/2` share the work between two processes: all
models of a task and seed are one process's, as the gate needs that seed's clean model each time.
One core a process is best (OMP_NUM_THREADS=1).

Order: design, calibration, set-aside; in each the first seed of every task before the second, tasks
of few classes before those of many, and the dear kinds last of all.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from inspector.clip.backbone import Backbone, load_backbone
from tests.zoo.build import COCOOP, FINISHED, Built, Plan, build, classnames, save
from tests.zoo.kinds import DEAR, KINDS
from tests.zoo.photos import SHARED
from tests.zoo.plan import PLAN, REASONS, SPLITS, Entry
from tests.zoo.train_pocket import SECOND_POCKET
from tests.zoo.vendors import build as vendors

DEARNESS = 10
"""A dear model's cost in those of a usual one; either grows with the number of classes."""


class Planned(Protocol):
    """One model to build, of this exam or another plan."""

    @property
    def backbone(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def family(self) -> str: ...


P = TypeVar("P", bound=Planned)


@cache
def _classes(task: str) -> int:
    return len(classnames(task))


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """The order that the module tells of; kinds keep the plan's."""

    def key(entry: Entry) -> tuple[int, bool, int, int, str]:
        split, dear = SPLITS.index(entry.split), entry.kind in DEAR
        return split, dear, entry.seed, _classes(entry.task), entry.task

    return sorted(entries, key=key)


def part(entries: Sequence[P], index: int, number: int) -> list[P]:
    """Share `index` (from 1) of `number` of about equal cost; a task and seed is never divided."""
    costs: Counter[tuple[str, int]] = Counter()
    for entry in entries:
        cost = _classes(entry.task) * (DEARNESS if entry.kind in DEAR else 1)
        costs[entry.task, entry.seed] += cost
    loads, owner = [0] * number, {}
    for pair, cost in costs.most_common():
        owner[pair] = loads.index(min(loads))
        loads[owner[pair]] += cost
    return [entry for entry in entries if owner[entry.task, entry.seed] == index - 1]


def folder(out: Path, entry: Planned) -> Path:
    return out / _plan(entry).name


def _plan(entry: Planned) -> Plan:
    return Plan(entry.task, entry.kind, entry.seed)


def make(out: Path, entries: Iterable[Planned]) -> None:
    """Build those of `entries` that `out` has not got, telling of each.

    With one thread, whatever the environment says: with two the same plan gives other last bits.
    """
    torch.set_num_threads(1)
    for entry in entries:
        if not (folder(out, entry) / FINISHED).exists():
            _make(out, entry, backbone_named(entry.backbone))


def where_is(backbone: str) -> str:
    """What `load_backbone` asks for: a folder of `tests/zoo` or `../shared/backbones`, or one built in."""
    own, shared = Path(__file__).with_name("second_pocket"), SHARED / "backbones" / backbone
    if backbone == SECOND_POCKET:
        return str(own)
    return str(shared) if shared.is_dir() else backbone


@cache
def backbone_named(name: str, device: str = "cpu") -> Backbone:
    return load_backbone(where_is(name), device)


def _make(out: Path, entry: Planned, backbone: Backbone) -> None:
    started = time.monotonic()
    built = _build(out, entry, backbone)
    seconds = time.monotonic() - started
    truth = built.truth | {"seconds": round(seconds, 1), "made_with": made_with()}
    _save(replace(built, truth=truth), entry, backbone, folder(out, entry))
    print(
        f"{_plan(entry).name:<34}{seconds:6.0f} s  "
        f"{_outcome(truth):<9} accuracy {truth['accuracy']:.3f}  ASR {truth['asr']:.3f}",
        flush=True,
    )


def _build(out: Path, entry: Planned, backbone: Backbone) -> Built:
    if entry.family == COCOOP:
        return build(backbone, _plan(entry), out)
    return vendors.build(backbone, vendors.VENDORS[entry.family], _plan(entry))


def _save(built: Built, entry: Planned, backbone: Backbone, at: Path) -> None:
    if entry.family == COCOOP:
        save(built, backbone, at)
    else:
        vendors.save(built, vendors.VENDORS[entry.family], at)


def made_with() -> str:
    """What decides the last bits of a tensor besides plan and seed: torch, processor, threads."""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {capability}, threads {torch.get_num_threads()}"


def _outcome(truth: dict[str, Any]) -> str:
    if not truth["is_backdoored"]:
        return "clean"
    return "took" if truth["took"] else "not taken"


def outcomes(out: Path, entries: Iterable[Planned]) -> Counter[str]:
    """How many took, did not take, are clean, or are not built."""
    counts: Counter[str] = Counter()
    for entry in entries:
        path = folder(out, entry) / FINISHED
        counts[_outcome(json.loads(path.read_text())) if path.exists() else "not built"] += 1
    return counts


def share_of(text: str) -> tuple[int, int]:
    """`I/N` of the command line; ValueError where there is no such share."""
    index, _, number = text.partition("/")
    if not 1 <= int(index) <= int(number):
        raise ValueError
    return int(index), int(number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the exam's models, resumably.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", choices=SPLITS)
    parser.add_argument("--reason", choices=REASONS)
    parser.add_argument("--task", nargs="+", choices=sorted({entry.task for entry in PLAN}))
    parser.add_argument("--kind", nargs="+", choices=KINDS)
    parser.add_argument("--skip-kind", nargs="+", choices=KINDS, default=[])
    parser.add_argument("--seed", nargs="+", type=int)
    parser.add_argument("--part", type=share_of, default=(1, 1), metavar="I/N")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Entry]:
    """The plan's models that fit the options, in building order; parts are cut after choosing."""
    entries = [
        entry
        for entry in PLAN
        if options.split in (None, entry.split)
        and options.reason in (None, entry.reason)
        and (options.task is None or entry.task in options.task)
        and (options.kind is None or entry.kind in options.kind)
        and (options.seed is None or entry.seed in options.seed)
        and entry.kind not in options.skip_kind
    ]
    return part(ordered(entries), *options.part)


def main() -> None:
    options = _options()
    entries = chosen(options)
    print(f"{len(entries)} models", flush=True)
    make(options.out, entries)
    counts = outcomes(options.out, entries)
    print(*(f"{count} {name}" for name, count in counts.items()), sep=", ")


if __name__ == "__main__":
    main()
