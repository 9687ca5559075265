"""Which models a dear method is run on, where it cannot be run on all: drawn by hash, the same for every method.

Half are attacks that took, half are honest. Whether an attack took is known only when it is built, so the
draw is an order over the plan, in which those that count are taken until there are enough; a smaller draw lies
in every larger one. The order spreads: every backbone, and the families besides CoCoOp together, get
their share of the plan (Sainte-Laguë's divisors), then these families take turns, then kinds, then tasks, and a
hash of the model's name decides the rest. Tasks of a hundred classes are in no draw: a search
for every class takes hours there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tests.exam.rows import Key, key_of
from tests.zoo.build import COCOOP
from tests.zoo.sets import LARGE, Model


@dataclass(frozen=True)
class Draw:
    """Models that are drawn whatever else is built, and attacks that will be if they take."""

    models: tuple[Model, ...]
    open: tuple[Model, ...]


@cache
def order(models: frozenset[Model]) -> list[Model]:
    """All of them, those that are drawn first in front."""
    left = sorted(models, key=_hash)
    total = Counter(map(_group, left))
    used: Counter[tuple[str, str]] = Counter()

    def turn(model: Model) -> tuple[float, list[int]]:
        group = _group(model)
        share = (used["group", group] + 0.5) / total[group]
        return share, [used[mark] for mark in _marks(model)]

    placed: list[Model] = []
    while left:
        chosen = min(left, key=turn)  # The first of equals, in the order of hashes.
        left.remove(chosen)
        placed.append(chosen)
        used.update([("group", _group(chosen)), *_marks(chosen)])
    return placed


def _group(model: Model) -> str:
    return model.backbone if model.family == COCOOP else "other families"


def _marks(model: Model) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """What takes turns, the more important first."""
    return ("family", model.family), ("kind", model.kind), ("task", model.task)


def _hash(model: Model) -> str:
    return hashlib.sha256("/".join(map(str, key_of(model))).encode()).hexdigest()


def draw(models: Iterable[Model], took: Mapping[Key, bool], number: int) -> Draw:
    """The first `number` that count, half of them attacks where the plan has any.

    An attack that `took` does not know may count: it keeps a place, and is not drawn yet.
    """
    small = frozenset(model for model in models if model.task != LARGE)
    attacks = order(frozenset(model for model in small if model.is_backdoored))
    honest = order(frozenset(model for model in small if not model.is_backdoored))
    places = min(number // 2, len(attacks))
    first = [m for m in attacks if took.get(key_of(m), True)][:places]
    known = [m for m in first if key_of(m) in took]
    waiting = [m for m in first if key_of(m) not in took]
    return Draw((*known, *honest[: number - places]), tuple(waiting))
