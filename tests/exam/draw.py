"""Which models a dear method is run on, where it cannot be run on all: drawn by hash, the same for every method.

Half are attacks that took, half are honest. Whether an attack took is known only when it is built, so the
draw is an order over the plan, in which those that count are taken until there are enough; a smaller draw lies
in every larger one. The order spreads: backbones and families get their share of the plan, kinds take turns,
then tasks, and a hash of the model's name decides the rest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.exam.rows import Key, key_of
from tests.zoo.sets import Model


@dataclass(frozen=True)
class Draw:
    """Models that are drawn whatever else is built, and attacks that will be if they take."""

    models: tuple[Model, ...]
    open: tuple[Model, ...]


def order(models: Iterable[Model]) -> list[Model]:
    """All of them, those that are drawn first in front."""
    left = sorted(models, key=_hash)
    total: Counter[tuple[str, str]] = Counter(map(_group, left))
    groups: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    placed: list[Model] = []
    while left:
        # min takes the first of equals, and `left` is in the order of hashes.
        chosen = min(
            left,
            key=lambda m: (groups[_group(m)] / total[_group(m)], kinds[m.kind], tasks[m.task]),
        )
        left.remove(chosen)
        placed.append(chosen)
        groups[_group(chosen)] += 1
        kinds[chosen.kind] += 1
        tasks[chosen.task] += 1
    return placed


def _hash(model: Model) -> str:
    return hashlib.sha256("/".join(map(str, key_of(model))).encode()).hexdigest()


def _group(model: Model) -> tuple[str, str]:
    _, backbone, family, *_ = key_of(model)
    return backbone, family


def draw(models: Sequence[Model], took: Mapping[Key, bool], number: int) -> Draw:
    """The first `number` that count, half of them attacks where the plan has any.

    An attack that `took` does not know may count: it keeps a place, and is not drawn yet.
    """
    attacks = order(model for model in models if model.is_backdoored)
    honest = order(model for model in models if not model.is_backdoored)
    places = min(number // 2, len(attacks))
    first = [m for m in attacks if took.get(key_of(m), True)][:places]
    known = [m for m in first if key_of(m) in took]
    waiting = [m for m in first if key_of(m) not in took]
    return Draw((*known, *honest[: number - places]), tuple(waiting))
