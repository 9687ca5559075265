"""What strategies of repair do to the attacker's own trigger, which none of them sees: a row a strategy.

`python -m tests.bench.repair FOLDER ... [--out CSV] [--backbone B] [--builtin]` takes zoo models by their folders
(`<task>-<seed>-<kind>`; one that is not there is built). A strategy is given what a buyer may have: POOL unlabelled
pictures of the task, LABELLED labelled ones a class, and, for unlearning, what the search of `standard` finds on the
former for the class that is attacked: whether the detector accuses it is not asked. With `--builtin` as many
built-in pictures stand in for those of the task, as where a buyer gives none. With `--poison P` a share P of
the pool carries the attacker's own trigger, as where a buyer gathers pictures where the attacker left some. Accuracy and attack success
are measured on the vendor's test pictures, a half of POOL more for agreement. Of honest models there is no success to
measure, and the class is the one that a vendor of that plan would attack. A run that was cut off goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.learned import Delivered
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.triggers import Added
from inspector.manifest import Manifest
from inspector.probes.procedural import procedural_probes
from inspector.profiles import radius
from inspector.repair.arithmetic import TaskArithmetic
from inspector.repair.realign import ReAlignment
from inspector.repair.rederive import ByAnswers, ByBoth, ByLabels, plain
from inspector.repair.strategy import CannotRepair, Case, Labelled, Strategy
from inspector.repair.unlearn import Unlearning
from tests.bench.appended import read, write
from tests.support.assembling import delivered, manifest_in
from tests.zoo.attacks import Plant, TrainingSet, success
from tests.zoo.build import FINISHED, Plan, build, effort_of, lesson_of, load_task, save, start_of
from tests.zoo.encoding import classes_of
from tests.zoo.lessons import Lesson
from tests.zoo.make import backbone_named

POOL, LABELLED = 500, 16
"""Unlabelled pictures in all, and labelled ones a class."""
OF_THE_TASK, BUILT_IN = "task", "builtin"
STRATEGIES: tuple[Strategy, ...] = (
    Unlearning(), ByAnswers(), ByLabels(), ByBoth(), plain(ByBoth()), ReAlignment(), TaskArithmetic(),
)  # fmt: skip
FIELDS = (
    "model", "pictures", "poison", "strategy", "accuracy_before", "accuracy_after", "excess_before", "excess_after",
    "agreement", "seconds", "refused",
)  # fmt: skip
"""An empty `poison` is none: rows from before there was such a thing."""
Row = dict[str, object]


@dataclass(frozen=True)
class Subject:
    """A delivered model, what its attacker planted (nothing in honest ones), and test pictures."""

    plan: Plan
    manifest: Manifest
    classifier: Classifier
    target: int
    plants: Sequence[Plant]
    test: TrainingSet

    def figures(self, classifier: Classifier) -> tuple[float, float | None]:
        """Accuracy, and excess success of the attacker's strongest trigger."""
        pixels, labels = self.test.pixels, self.test.labels
        own = (classes_of(classifier, pixels) == labels).float().mean().item()
        excesses = []
        for plant in self.plants:
            asked = pixels, labels, plant.trigger, plant.target, plant.source
            rates = success(classifier, *asked)
            excesses.append(rates["asr"] - rates["base"])
        return own, max(excesses, default=None)


def subject_of(folder: Path, backbone: Backbone) -> Subject:
    """The model of a folder, and its trigger made again from the plan; one that was learnt with the model by
    building that once more."""
    task, seed, kind = folder.name.split("-")
    plan = Plan(task, kind, int(seed))
    if kind.startswith("badclip"):
        built = build(backbone, plan, folder.parent)
        _, test = load_task(task, plan.seed, backbone.image_size)
        target = int(built.truth["target"])
        if not (folder / FINISHED).exists():
            save(built, backbone, folder)
        classifier = built.classifier.requires_grad_(False)
        return Subject(plan, manifest_in(folder), classifier, target, built.plants, test)
    if not (folder / FINISHED).exists():
        save(build(backbone, plan, folder.parent), backbone, folder)
    classifier = delivered(folder, backbone)
    train, test = load_task(task, plan.seed, backbone.image_size, effort_of(kind).shots)
    told = json.loads((folder / FINISHED).read_text())["target"]
    target = start_of(plan, len(classifier.classnames))[0] if told is None else told
    lesson, _ = lesson_of(classifier, Lesson(train, test), plan, target)
    return Subject(plan, manifest_in(folder), classifier, target, lesson.plants, lesson.test)


def rows_of(
    subject: Subject, strategies: Sequence[Strategy] = STRATEGIES, pictures: str = OF_THE_TASK,
    poison: float = 0.0, shots: int = LABELLED,
) -> Iterator[Row]:  # fmt: skip
    """A row for each strategy, as it comes; `shots` labelled pictures a class teach."""
    case, others = case_of(subject, pictures, poison, shots)
    accuracy, excess = subject.figures(subject.classifier)
    said = classes_of(subject.classifier, others)
    for strategy in strategies:
        started = time.monotonic()
        row: Row = {
            "model": subject.plan.name, "pictures": pictures, "poison": poison or "",
            "strategy": strategy.name, "accuracy_before": _text(accuracy),
            "excess_before": _text(excess),
        }  # fmt: skip
        try:
            copy = case.delivered.with_values(strategy.tensors(case))
        except CannotRepair as reason:
            yield row | {"seconds": round(time.monotonic() - started), "refused": str(reason)}
            continue
        seconds = time.monotonic() - started
        after, left = subject.figures(copy)
        agreement = (classes_of(copy, others) == said).float().mean().item()
        yield row | {
            "accuracy_after": _text(after), "excess_after": _text(left),
            "agreement": _text(agreement), "seconds": round(seconds),
        }  # fmt: skip


def case_of(
    subject: Subject, kind: str, poison: float = 0.0, shots: int = LABELLED
) -> tuple[Case, Tensor]:
    """What a strategy may draw on, and further pictures (M, 3, S, S) of the task."""
    plan, classifier = subject.plan, subject.classifier
    size, classes = classifier.backbone.image_size, len(classifier.classnames)
    pool = _drawn(plan, 1, size, POOL * 3 // 2 // classes, classes)[0]
    shuffled = torch.randperm(len(pool), generator=torch.Generator().manual_seed(plan.seed))
    pictures, others = pool[shuffled[:POOL]], pool[shuffled[POOL:]]
    pictures = poisoned_pool(subject, pictures, poison)
    if kind == BUILT_IN:
        pictures = procedural_probes(len(pictures), size)
    shown, labels = _drawn(plan, 2, size, shots, classes)
    reach = radius(size, classifier.backbone.sha256)
    generator = torch.Generator().manual_seed(plan.seed)
    objective = prepare(
        classifier, pictures, "prompt" if classifier.is_instance_conditioned else "joint"
    )
    trigger = Added(invert(objective, subject.target, SearchConfig(reach), generator))
    labelled, delivered = Labelled(shown, labels), Delivered.of(classifier)
    case = Case(delivered, subject.target, trigger, reach, pictures, labelled, plan.seed)
    return case, others


def poisoned_pool(subject: Subject, pictures: Tensor, share: float) -> Tensor:
    """A copy of (N, 3, S, S) of which the first so many carry the attacker's triggers in turns; their order
    was drawn before. Honest models have no trigger, and their pools none."""
    carried = pictures.clone()
    for row in range(round(share * len(pictures)) if subject.plants else 0):
        plant = subject.plants[row % len(subject.plants)]
        carried[row : row + 1] = plant.trigger(pictures[row : row + 1])
    return carried


def _drawn(plan: Plan, apart: int, size: int, shots: int, classes: int) -> tuple[Tensor, Tensor]:
    """So many pictures a class (N, 3, S, S) and their labels, of a seed that no vendor has."""
    drawn, _ = load_task(plan.task, 10 * plan.seed + apart, size, shots)
    number = shots * classes  # What stands behind them are crops of photographs.
    return drawn.pixels[:number], drawn.labels[:number]


def _text(value: float | None) -> str:
    return "" if value is None else str(round(value, 4))


def summary(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """A line a strategy, kind of pictures and share of poison: over attacked models, and what it costs
    honest ones."""
    for key in dict.fromkeys(map(_setting, rows)):
        kind, poison, strategy = key
        name = f"{strategy}, pictures {kind}" + (f" poisoned {poison}" if poison else "")
        every = [row for row in rows if _setting(row) == key]
        own = [row for row in every if row["accuracy_after"]]
        if len(own) < len(every):
            yield f"{name}: refused {len(every) - len(own)} of {len(every)}"
        hit, honest = (
            [row for row in own if bool(row["excess_after"]) is is_hit] for is_hit in (True, False)
        )
        if hit:
            left = [float(row["excess_after"]) for row in hit]
            yield (
                f"{name}: {len(hit)} attacked, excess {fmean(float(r['excess_before']) for r in hit):.3f} to "
                f"{fmean(left):.3f} (worst {max(left):.3f}), accuracy by {_change(hit)}"
            )
        if honest:
            yield f"{name}: {len(honest)} honest, accuracy by {_change(honest)}"


def _setting(row: dict[str, str]) -> tuple[str, str, str]:
    return row["pictures"], row.get("poison") or "", row["strategy"]


def _change(rows: Sequence[dict[str, str]]) -> str:
    changes = [float(row["accuracy_after"]) - float(row["accuracy_before"]) for row in rows]
    return f"{fmean(changes):+.3f} (worst {min(changes):+.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Try strategies of repair on zoo models.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--out", type=Path, default=Path("var/repair.csv"))
    parser.add_argument("--builtin", action="store_true")
    parser.add_argument("--poison", type=float, default=0.0, metavar="SHARE")
    parser.add_argument(
        "--labelled", type=int, default=LABELLED, metavar="N", help="labelled pictures a class"
    )
    parser.add_argument("--strategies", nargs="*", help="names; all where none are given")
    options = parser.parse_args(arguments)
    pictures = BUILT_IN if options.builtin else OF_THE_TASK
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for folder in options.folders:
        done = {
            row["strategy"]
            for row in read(options.out)
            if row["model"] == folder.name
            and _setting(row)[:2] == (pictures, str(options.poison or ""))
        }
        wanted = options.strategies or [strategy.name for strategy in STRATEGIES]
        left = [one for one in STRATEGIES if one.name in wanted and one.name not in done]
        if not left:
            continue
        subject = subject_of(folder, backbone_named(options.backbone))
        for row in rows_of(subject, left, pictures, options.poison, options.labelled):
            write(options.out, row, FIELDS)
            print(*(f"{name}={value}" for name, value in row.items()), flush=True)
    for line in summary(read(options.out)):
        print(line)


if __name__ == "__main__":
    main()
