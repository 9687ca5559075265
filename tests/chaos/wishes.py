"""What is asked for in a run, drawn from a seed before it begins, and what must come out of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, get_args

from app.client.gate.orders import read_manifest
from app.demo import BACKDOORED, CLEAN, SAMPLES
from app.inspections.policy import Verdict
from tests.support.checkpoints import coop_state, save_dassl

_BIG_BYTES = 66 << 20
"""More than one part by default."""
_CLASSES = list("abcde")
_SMALL_FILES = 8


@dataclass(frozen=True)
class Wish:
    """One inspection. ``expected`` is its verdict, or ``failed`` where the child was told to fail."""

    number: int
    at_s: float
    artifact: Path
    wanted: dict[str, Any]
    expected: str
    target: int | None = None
    has_own_hook: bool = False
    repeats: int = 0
    """How often the same request is sent again after its answer."""
    cancel_after_s: float | None = None


@dataclass(frozen=True)
class Stray:
    """An upload that nobody finishes: only begun, with its part, or with half of it."""

    at_s: float
    form: str
    artifact: Path


@dataclass(frozen=True)
class Plan:
    """All that clients do in a run."""

    wishes: list[Wish]
    strays: list[Stray]


class Materials:
    """Files to upload, written into a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.small = [
            save_dassl(folder / f"model.pth.tar-{n}", coop_state(seed=n))
            for n in range(_SMALL_FILES)
        ]
        self.big = folder / "garbage.bin"
        block = os.urandom(1 << 20)
        self.big.write_bytes(block * (_BIG_BYTES >> 20))


def draw_plan(
    materials: Materials,
    chance: Random,
    *,
    count: int,
    real: int,
    big: int,
    over_s: float,
    longest_s: float,
) -> Plan:
    """``count`` inspections within ``over_s`` seconds, ``real`` of them real and ``big`` in several parts.

    A stand-in takes up to ``longest_s`` seconds.
    """
    kinds = ["real"] * real + ["big"] * big
    kinds += ["stand_in"] * (count - len(kinds))
    chance.shuffle(kinds)
    times = sorted(chance.uniform(0, over_s) for _ in kinds)
    stand_in = partial(_stand_in, longest_s=longest_s)
    makers: dict[str, Callable[[Materials, Random, int, float], Wish]] = {
        "real": _real,
        "big": _big,
        "stand_in": stand_in,
    }
    wishes = [
        makers[kind](materials, chance, number, at_s)
        for number, (kind, at_s) in enumerate(zip(kinds, times, strict=True))
    ]
    forms = ["begun", "part", "half"] * max(1, count // 60)
    strays = [Stray(chance.uniform(0, over_s), form, materials.small[0]) for form in forms]
    return Plan(wishes, strays)


def _real(_materials: Materials, chance: Random, number: int, at_s: float) -> Wish:
    artifact, verdict, target = chance.choice(
        [(CLEAN, "clean", None), (BACKDOORED, "backdoored", 2)]
    )
    wanted = {"manifest": read_manifest(SAMPLES / "manifest.json"), "profile": "quick"}
    return Wish(number, at_s, artifact, wanted, verdict, target, has_own_hook=True)


def _big(materials: Materials, chance: Random, number: int, at_s: float) -> Wish:
    wanted = {"manifest": {"method": "auto", "classnames": _CLASSES, "stand_in": {}}}
    # It is no checkpoint, and the answer to that is a verdict.
    return Wish(number, at_s, materials.big, wanted, "inconclusive", repeats=chance.randint(0, 1))


def _stand_in(
    materials: Materials, chance: Random, number: int, at_s: float, *, longest_s: float
) -> Wish:
    verdict = chance.choice(get_args(Verdict))
    orders: dict[str, Any] = {
        "seconds": round(chance.uniform(0.1, longest_s), 2),
        "verdict": verdict,
    }
    repair = chance.random() < 0.2
    if chance.random() < 0.04:
        orders["error"] = {"kind": "bug", "code": "as_told", "message": "fails as it was told"}
        verdict = "failed"
    manifest = {"method": "auto", "classnames": _CLASSES, "stand_in": orders}
    return Wish(
        number,
        at_s,
        chance.choice(materials.small),
        {"manifest": manifest, "repair": repair},
        verdict,
        target=0 if verdict == "backdoored" else None,
        has_own_hook=chance.random() < 0.25,
        repeats=chance.choice([0, 0, 0, 1, 2]),
        cancel_after_s=chance.uniform(0, 10) if chance.random() < 0.06 else None,
    )
