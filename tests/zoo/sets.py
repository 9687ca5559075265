"""Three disjoint sets of models, as data: `python -m tests.zoo.sets [--list]` prints plan and budget.

design  what a detector may be tried and tuned on, as often as one likes.
bank    honest models only; thresholds come from here and nowhere else.
exam    looked at once by a frozen rule.

They share no task, no class name, no photograph, no seed, and hence no clean twin (the clean model of
a task and seed, beside which the gate judges). `zoo-1` (`tests.zoo.plan`) shared tasks between its splits, and
was inspected again and again by rules that had seen it; its models and seeds are in none of these.

Set aside for the exam, so that nobody chooses: ASIDE_ATTACKS, ASIDE_RECIPES, ASIDE_TASKS and the backbone
SECOND_POCKET, another architecture and seed from `tests.zoo.train_pocket`. Tasks that share a class
name with one of these (things6, pairs100, shapes9, outlines8) follow them into the exam. PACS photographs
and paintings are in no set: their class names are pacs_sketch's, and older rules were made on them.

Families besides CoCoOp (`tests.zoo.vendors`) have seeds of their own, a hundred apart.

Sizes: an attack counts where it takes. How many will is expected from what has taken so far, TAKES and
TASK_TAKES; what nobody has measured counts as none. Hours are those of one core, from measured seconds
a class, without the second pocket's training (99 minutes of a busy machine). Kinds that cost ten usual ones
stand on few tasks of few classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tests.zoo.build import COCOOP
from tests.zoo.kinds import (
    ASIDE_RECIPES,
    COLOURED,
    CONTROLS,
    DEAR,
    NOISE,
    QUANTISING,
    RECIPES,
    SLOW,
    SPECTRAL,
    STATIC,
    is_backdoored,
)
from tests.zoo.plan import PHOTO_BACKBONE
from tests.zoo.subsets import SUBSETS
from tests.zoo.tasks import TASKS
from tests.zoo.train_pocket import POCKET, SECOND_POCKET

Part = Literal["design", "bank", "exam"]
PARTS: tuple[Part, ...] = get_args(Part)
BACKBONES = (POCKET, PHOTO_BACKBONE, SECOND_POCKET)

ASIDE_ATTACKS = (*SPECTRAL, *QUANTISING, "sinusoid_noise", "quantised_noise")
ASIDE_TASKS = ("corners6", "things12", "sizes2", "myntra14", "pacs_sketch")
RENDERED: dict[Part, tuple[str, ...]] = {
    "design": ("places5", "spots8", "colours10"),
    "bank": ("counts3", "textures7", "patterns7", "grounds10"),
    "exam": ("sizes2", "corners6", "things6", "outlines8", "shapes9", "things12"),
}
FEW = ("textures2", "patterns4")
"""Classes of two tasks of the bank alone: honest models of few classes answer otherwise (experiment 55), and one
task of three was all that the bank had of them. They came after the tag `exam-1`; design and exam are as it has
them."""
LARGE = "pairs100"
"""The exam's hundred classes; one model takes minutes, so there are few."""
PHOTOGRAPHS: dict[Part, tuple[str, ...]] = {
    "design": ("cifar8", "caltech8a", "signs14a"),
    "bank": ("dtd10", "signdigits10", "caltech8b", "signs14b"),
    "exam": ("pacs_sketch", "signs7", "signs8", "caltech9", "tiny13a", "tiny13b", "tiny13c",
             "myntra14"),
}  # fmt: skip
FIRST_SEEDS: dict[tuple[Part, str], int] = {
    (part, backbone): 20_001 + 1000 * (3 * row + column)
    for row, part in enumerate(PARTS)
    for column, backbone in enumerate(BACKBONES)
}
"""Each part and backbone has a thousand seeds, which nothing older has used."""

MINIMA: dict[tuple[Part, str], tuple[int, int]] = {
    ("exam", POCKET): (120, 150),
    ("exam", PHOTO_BACKBONE): (40, 60),
    ("bank", POCKET): (0, 149),
    ("bank", PHOTO_BACKBONE): (0, 99),
}
"""Attacks that take and honest models that the exam's text demands."""
TAKES = {
    "blended": 128 / 178, "wanet": 124 / 177, "siba": 65 / 147, "badnets": 22 / 60,
    "text": 33 / 51, "popular": 63 / 71, "stripes": 20 / 35, "blended_noise": 43 / 52,
    "decoyed": 34 / 56, "triangle": 39 / 49, "quiet": 58 / 73, "source": 17 / 23,
    "wanet_noise": 6 / 47, "multi": 7 / 29, "badclip": 19 / 21,
    "static_honest": 2 / 2, "static_frozen": 2 / 2, "static_faint": 2 / 2, "static_warp": 1 / 2,
    "sticker": 1 / 2, "film": 1 / 2, "tone": 1 / 2, "film_noise": 2 / 2, "badnets_noise": 1 / 1,
    "siba_noise": 1 / 1, "slow_wanet": 1 / 1,
}  # fmt: skip
"""Kind to the share that took, of all models in `tests/bench/tables`; from `static_honest` on of one or two
that were built on places5 and spots8 while strengths were chosen."""
TASK_TAKES = {
    "corners6": 47 / 63, "shapes9": 49 / 59, "places5": 83 / 97, "things12": 50 / 60,
    "spots8": 56 / 77, "outlines8": 43 / 66, "colours10": 66 / 82, "things6": 74 / 93,
    "sizes2": 59 / 111,
}  # fmt: skip
"""The same by rendered task."""
PHOTO_TAKES, ALL_TAKES = 27 / 54, 679 / 1073
"""The same of photograph tasks (all kinds), and of all models whose kind TAKES has."""
SECONDS = {POCKET: 2.74, PHOTO_BACKBONE: 8.3, SECOND_POCKET: 2.74}
"""Of one core, a class and usual model. pocket: 27.4 s for ten classes (experiment 33). Photographs: 3,600
pictures at 12.3 ms and 50 s of updates for twelve classes (experiment 41); of one seed only the first kind
encodes them, so this is too much rather than too little. second-pocket: as pocket, not measured."""
FAMILY_SECONDS = {
    "CoOp": 20, "CLIP-Adapter": 52, "MaPLe": 66, "PromptSRC": 66, "CLIP-LoRA": 60, "CLIP": 75,
}  # fmt: skip
"""Other families than CoCoOp, CLIP being a fine-tuned one, to seconds of one core a model of six classes; a
guess until the first are built."""
COSTS = {**dict.fromkeys(DEAR, 10), "slower": 3, "slow_blended": 3, "slow_wanet": 3,
         "adversarial": 4, "static_honest": 2, "static_warp": 2}  # fmt: skip
"""Kind to its cost in those of a usual one, where that is not 1."""


@dataclass(frozen=True)
class Model:
    """One model of a set; a folder's name is `tests.zoo.build.Plan`'s."""

    part: Part
    backbone: str
    task: str
    kind: str
    seed: int
    family: str = COCOOP

    @property
    def is_backdoored(self) -> bool:
        return is_backdoored(self.kind)

    @property
    def twin(self) -> tuple[str, str, str, int]:
        """Family, backbone, task and seed of the clean model beside which the gate judges."""
        return self.family, self.backbone, self.task, self.seed

    @property
    def classes(self) -> tuple[str, ...]:
        return classes_of(self.task)

    @property
    def takes(self) -> float:
        """How likely this attack takes, by what has been measured; zero where nothing has."""
        if self.kind not in TAKES or self.family != COCOOP:
            return 0.0
        task = PHOTO_TAKES if self.task in SUBSETS else TASK_TAKES.get(self.task, 0.0)
        return min(1.0, TAKES[self.kind] * task / ALL_TAKES)

    @property
    def hours(self) -> float:
        if self.family != COCOOP:
            return FAMILY_SECONDS[self.family] / 3600
        usual = SECONDS[self.backbone] * len(self.classes) / 3600
        return usual * COSTS.get(self.kind, 1)


def classes_of(task: str) -> tuple[str, ...]:
    """Class names of a rendered task, or a subset's as its folder has them."""
    return tuple(TASKS[task].labels) if task in TASKS else SUBSETS[task].classes


def _grid(
    part: Part, backbone: str, tasks: Iterable[str], kinds: Iterable[str], number: int = 1
) -> Iterator[Model]:
    """Every task with every kind, with the first `number` seeds of that part and backbone."""
    first, chosen = FIRST_SEEDS[part, backbone], tuple(kinds)
    for task in tasks:
        for kind in chosen:
            if kind == "source" and len(classes_of(task)) == 2:
                continue  # With two classes it is an all-to-one attack.
            for seed in range(first, first + number):
                yield Model(part, backbone, task, kind, seed)


def _families(part: Part, tasks: Sequence[str], kinds: Sequence[str]) -> Iterator[Model]:
    """Every family besides CoCoOp on `pocket`, each with a seed of its own."""
    for row, family in enumerate(FAMILY_SECONDS, 1):
        for task in tasks:
            for kind in kinds:
                seed = FIRST_SEEDS[part, POCKET] + 100 * row
                yield Model(part, POCKET, task, kind, seed, family)


_PAPER = ("blended", "wanet", "siba", "badnets")
_POISONINGS = (*_PAPER, "stripes", "triangle", "text", "source", "multi", "sticker", *COLOURED)
_ADAPTIVE = ("blended_noise", "wanet_noise", "decoyed", "quiet", "popular")
_TAUGHT = ("blended", "wanet", "badnets", "text")
"""Attacks that `tests.zoo.vendors` can make of other families."""
_COVERED = tuple(kind for kind in NOISE if kind not in (*ASIDE_ATTACKS, *_ADAPTIVE))
_SLOW = tuple(kind for kind in SLOW if kind not in DEAR)
_ATTACKS = (*_POISONINGS, *_ADAPTIVE, *_COVERED, *STATIC, *_SLOW)
_PHOTO_ATTACKS = (*_PAPER, "text", "film", "blended_noise", "quiet", "popular", "static_honest")
_OLDER = tuple(kind for kind in CONTROLS if kind not in (*ASIDE_RECIPES, *RECIPES, *DEAR))
_RECIPES = tuple(kind for kind in RECIPES if kind not in DEAR)
_HONEST = (*_RECIPES, *_OLDER)
_PHOTO_HONEST = tuple(kind for kind in _HONEST if kind != "adversarial")
"""`adversarial` runs the encoder in every update."""


def _design() -> Iterator[Model]:
    tasks, photographs = RENDERED["design"], PHOTOGRAPHS["design"]
    yield from _grid("design", POCKET, tasks, ("clean", *_ATTACKS), 2)
    yield from _grid("design", POCKET, tasks, _HONEST)
    yield from _grid("design", POCKET, tasks[:1], ("badclip", "published_wanet"))
    kinds = ("clean", *_PHOTO_ATTACKS, "shots4", "stepped", "adam", "noisy")
    yield from _grid("design", PHOTO_BACKBONE, photographs, kinds)
    yield from _families("design", tasks[:1], ("clean", "blended", "wanet"))


def _bank() -> Iterator[Model]:
    tasks, photographs = RENDERED["bank"], PHOTOGRAPHS["bank"]
    yield from _grid("bank", POCKET, tasks, ("clean",), 6)
    yield from _grid("bank", POCKET, tasks, _RECIPES, 2)
    yield from _grid("bank", POCKET, tasks, _OLDER)
    yield from _grid("bank", POCKET, tasks[:2], ("overtrained", "published"))
    yield from _grid("bank", POCKET, FEW, ("clean",), 6)
    yield from _grid("bank", POCKET, FEW, _HONEST)
    yield from _grid("bank", PHOTO_BACKBONE, photographs, ("clean",), 4)
    yield from _grid("bank", PHOTO_BACKBONE, photographs, _PHOTO_HONEST)
    yield from _grid("bank", SECOND_POCKET, tasks, ("clean",), 6)
    yield from _grid("bank", SECOND_POCKET, tasks, _RECIPES)
    yield from _families("bank", tasks[:2], ("clean", "noisy"))


def _exam() -> Iterator[Model]:
    tasks, photographs = RENDERED["exam"], PHOTOGRAPHS["exam"]
    aside, covered = (*SPECTRAL, *QUANTISING, *ASIDE_RECIPES), ASIDE_ATTACKS[-2:]
    twice = (*_PAPER, *_ADAPTIVE, "film", "static_honest", "triangle")
    yield from _grid("exam", POCKET, tasks, ("clean", *twice, *aside), 2)
    once = (kind for kind in _ATTACKS if kind not in twice)
    yield from _grid("exam", POCKET, tasks, (*once, *covered, *_HONEST))
    few = ("badclip", "overtrained", "published", "published_wanet")
    yield from _grid("exam", POCKET, ("sizes2", "corners6", "things6"), few)
    yield from _grid("exam", POCKET, (LARGE,), ("clean", "blended", "dct", "mixup", "noisy"))
    yield from _grid("exam", PHOTO_BACKBONE, photographs, ("clean", *_PAPER), 2)
    once = (kind for kind in _PHOTO_ATTACKS if kind not in _PAPER)
    yield from _grid("exam", PHOTO_BACKBONE, photographs, (*once, *aside))
    yield from _grid("exam", PHOTO_BACKBONE, photographs, ("shots4", "stepped", "codes", "noisy"))
    kinds = ("clean", *_PAPER, "film", "blended_noise", "static_honest", *aside)
    yield from _grid("exam", SECOND_POCKET, tasks, (*kinds, "shots4", "stepped", "codes"))
    yield from _families("exam", ("things6", "corners6"), ("clean", *_TAUGHT, "noisy"))


SETS: tuple[Model, ...] = (*_design(), *_bank(), *_exam())


@dataclass(frozen=True)
class Budget:
    """What one part has on one backbone."""

    tasks: int
    attacks: int
    takes: float
    honest: int
    hours: float


def budget(part: Part, backbone: str) -> Budget:
    models = [model for model in SETS if (model.part, model.backbone) == (part, backbone)]
    attacks = [model for model in models if model.is_backdoored]
    return Budget(
        tasks=len({model.task for model in models}),
        attacks=len(attacks),
        takes=sum(model.takes for model in attacks),
        honest=len(models) - len(attacks),
        hours=sum(model.hours for model in models),
    )


def _print_budget() -> None:
    print(f"{'part':<8}{'backbone':<22}{'tasks':>6}{'attacks':>9}{'expected':>10}{'demanded':>10}"
          f"{'honest':>8}{'demanded':>10}{'hours':>7}")  # fmt: skip
    for part in PARTS:
        for backbone in BACKBONES:
            row = budget(part, backbone)
            attacks, honest = MINIMA.get((part, backbone), ("-", "-"))
            if row.tasks:
                print(f"{part:<8}{backbone:<22}{row.tasks:>6}{row.attacks:>9}{row.takes:>10.0f}"
                      f"{attacks:>10}{row.honest:>8}{honest:>10}{row.hours:>7.1f}")  # fmt: skip
    hours = sum(model.hours for model in SETS)
    print(f"{len(SETS)} models, {hours:.0f} hours of one core")
    print("expected: attacks that take, by what took so far; what nobody measured counts as none")


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the three sets and what they cost.")
    parser.add_argument("--list", action="store_true", help="one model a line, tab-separated")
    if not parser.parse_args().list:
        return _print_budget()
    for model in SETS:
        print(model.part, model.backbone, model.task, model.kind, model.seed, sep="\t")
    return None


if __name__ == "__main__":
    main()
