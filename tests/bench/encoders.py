"""What strategies of repair do to a backdoor in encoders, by the attacker's own trigger, which none sees.

`python -m tests.bench.encoders [--out CSV] [--models DIR] [--family F ...] [--kind K ...] [--task T ...]
[--seed S ...] [--pairs task|scenes]`: vendors of `tests.zoo.vendors` (built where they are not there yet), their files read as any
delivered file is. A strategy is given what a buyer may have: SHOTS pictures a class of the task that no vendor saw,
told by captions (or as many scenes that have nothing to do with the task), and, for unlearning, a trigger that a
short search finds on the first of them for the class that is attacked; whether a detector accuses it is not asked.
Accuracy and success are measured on the vendor's test pictures, what the encoders know besides by zero-shot prompts
on OTHER tasks. A row a model and strategy, written as it comes; a run that was cut off goes on where it stopped.
The summary counts attacks that took, and its intervals draw tasks, or seeds of a single task (`tests.bench.estimates`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from inspector.checkpoint import read_artifact
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.rebuilding import Delivered
from inspector.clip.zero_shot import ZeroShot
from inspector.detection.spaces import spaces_of
from inspector.detection.triggers import Laid, Trigger
from inspector.probes.pairs import Pairs
from inspector.profiles import radius
from inspector.progress import Meter
from inspector.repair.encoders.case import EncoderCase, EncoderStrategy
from inspector.repair.encoders.choosing import strategies_for
from inspector.repair.encoders.cleanclip import CleanClip
from inspector.repair.encoders.par import PerturbAndRecover
from inspector.repair.encoders.unlearning import TokenUnlearning
from tests.bench.appended import read, write
from tests.bench.estimates import Estimate, groups_of, mean, share
from tests.support.assembling import manifest_in
from tests.zoo.attacks import Plant, TrainingSet, success
from tests.zoo.build import FINISHED, Plan, classnames, lesson_of, load_task, start_of
from tests.zoo.encoding import classes_of
from tests.zoo.lessons import Lesson
from tests.zoo.pairs import of_scenes, of_task
from tests.zoo.tasks import TASKS
from tests.zoo.vendors.__main__ import folder
from tests.zoo.vendors.build import VENDORS, build, save
from tests.zoo.vendors.family import zero_shot

FAMILIES = ("CLIP", "CLIP-Adapter", "CLIP-LoRA")
KINDS = ("blended", "badnets", "text", "wanet", "stripes")
SHOTS = 128
OTHER, OTHER_SHOTS = ("colours10", "textures7"), 16
"""Tasks that no vendor of the bench tuned for, and pictures of each of their classes."""
TOOK, LEFT = 0.5, 0.06
"""Least excess success of an attack that counts, and most of one that counts as cleaned."""
COMPARED = (PerturbAndRecover.name, CleanClip.name)
SEARCHED, UPDATES = 32, 20
"""Pictures and updates of the search for a trigger, in each space."""
FIELDS = (
    "family", "task", "seed", "kind", "pairs", "strategy", "accuracy_before", "accuracy_after", "excess_before",
    "excess_after", "trusted_excess", "other_before", "other_after", "seconds",
)  # fmt: skip
KEY = FIELDS[:6]
Row = dict[str, object]


@dataclass(frozen=True)
class Subject:
    """A delivered model, what its attacker planted, and test pictures."""

    family: str
    plan: Plan
    delivered: Delivered
    target: int
    plant: Plant
    test: TrainingSet
    other: tuple[tuple[str, Tensor, Tensor], ...]

    def excess(self, classifier: Classifier | ZeroShot) -> float:
        """Success of the attacker's trigger beyond the share that is there without it."""
        pixels, labels = self.test.pixels, self.test.labels
        if isinstance(classifier, ZeroShot):
            victims = pixels[labels != self.target]
            said = [
                classifier.logits_of_many(shown, shown).argmax(1) == self.target
                for shown in (self.plant.trigger(victims), victims)
            ]
            return (said[0].float().mean() - said[1].float().mean()).item()
        rates = success(classifier, pixels, labels, self.plant.trigger, self.target)
        return rates["asr"] - rates["base"]

    def accuracy(self, classifier: Classifier) -> float:
        """On the task."""
        said = classes_of(classifier, self.test.pixels)
        return (said == self.test.labels).float().mean().item()

    @torch.no_grad()
    def elsewhere(self, encoders: Backbone) -> float:
        """Accuracy of the encoders' zero-shot prompts on tasks that they were not tuned for, mean."""
        shares = []
        for task, pixels, labels in self.other:
            text = encoders.zero_shot(classnames(task))
            features = torch.cat([encoders.image_features(part) for part in pixels.split(64)])
            shares.append(((features @ text.T).argmax(1) == labels).float().mean().item())
        return fmean(shares)


def subject_of(models: Path, family: str, plan: Plan, backbone: Backbone) -> Subject:
    """The vendor's model of a plan, and its trigger made again from that plan."""
    vendor, at = VENDORS[family], folder(models, family, plan)
    if not (at / FINISHED).exists():
        save(build(backbone, vendor, plan), vendor, at)
    with TemporaryDirectory() as scratch:
        reading = read_artifact(at / "prompt_learner", Path(scratch))
        assert reading.canonical is not None, reading.findings
        own = Delivered.read(reading, Path(scratch) / reading.canonical, manifest_in(at), backbone)
    names = classnames(plan.task)
    train, test = load_task(plan.task, plan.seed, backbone.image_size, vendor.effort.shots)
    target, _ = start_of(plan, len(names))
    lesson, _ = lesson_of(zero_shot(backbone, names), Lesson(train, test), plan, target)
    other = tuple(
        (
            task,
            *TASKS[task].draw(OTHER_SHOTS, torch.Generator().manual_seed(5), backbone.image_size),
        )
        for task in OTHER
    )
    return Subject(family, plan, own, target, lesson.plants[0], lesson.test, other)


def case_of(subject: Subject, kind: str, *, with_trigger: bool) -> EncoderCase:
    """What a strategy may draw on."""
    backbone, plan = subject.delivered.backbone, subject.plan
    seed, size = 10 * plan.seed + 3, backbone.image_size
    if kind == "task":
        pairs = of_task(plan.task, SHOTS, seed, size)
    else:
        pairs = of_scenes(SHOTS * len(classnames(plan.task)), seed, size)
    trigger = searched(subject, pairs, seed) if with_trigger else None
    return EncoderCase(
        subject.delivered, subject.target, trigger, pairs, plan.seed, Meter(lambda _: None, None)
    )


def searched(subject: Subject, pairs: Pairs, seed: int) -> Trigger:
    """The trigger that carries most pictures to the target which zero-shot prompts leave where they are.

    A stand-in for a detector's, found without one: Adam in each space on the log-probability of the target; of
    the spaces the best by what the delivered model says beyond zero-shot prompts of pictures held out.
    """
    classifier, target = subject.delivered.classifier, subject.target
    backbone, trusted = subject.delivered.backbone, ZeroShot.of(subject.delivered.classifier)
    fitted, held = pairs.pixels(torch.arange(2 * SEARCHED)).chunk(2)
    found: list[tuple[float, Trigger]] = []
    for space in spaces_of(radius(backbone.image_size, backbone.sha256)):
        generator = torch.Generator().manual_seed(seed)
        member = tuple(part.requires_grad_() for part in space.draw(backbone.image_size, generator))
        optimizer = torch.optim.Adam(member, lr=space.rate)
        for _ in range(UPDATES):
            said = classifier(space.apply(member, fitted)).log_softmax(1)[:, target]
            optimizer.zero_grad()
            (-said.mean()).backward()
            optimizer.step()
        trigger = Laid(space, tuple(part.detach() for part in member))
        with torch.no_grad():
            shown = trigger(held)
            own, theirs = classifier(shown), trusted.logits(shown, shown)
            beyond = (own.softmax(1) - theirs.softmax(1))[:, target].mean().item()
        found.append((beyond, trigger))
    return max(found, key=lambda one: one[0])[1]


def rows_of(subject: Subject, strategies: Sequence[EncoderStrategy], kind: str) -> Iterator[Row]:
    """A row for each strategy, as it comes."""
    own = subject.delivered
    case = case_of(subject, kind, with_trigger=False)
    before = own.classifier
    known: Row = {
        "family": subject.family, "task": subject.plan.task, "seed": subject.plan.seed,
        "kind": subject.plan.kind, "pairs": kind, "accuracy_before": _text(subject.accuracy(before)),
        "excess_before": _text(subject.excess(before)),
        "trusted_excess": _text(subject.excess(ZeroShot.of(before))),
        "other_before": _text(subject.elsewhere(before.backbone)),
    }  # fmt: skip
    for strategy in strategies:
        started = time.process_time()
        if isinstance(strategy, TokenUnlearning):
            case = case_of(subject, kind, with_trigger=True)
        copy = own.with_tensors(strategy.tensors(case))
        seconds = time.process_time() - started
        yield known | {
            "strategy": strategy.name, "accuracy_after": _text(subject.accuracy(copy)),
            "excess_after": _text(subject.excess(copy)),
            "other_after": _text(subject.elsewhere(copy.backbone)), "seconds": round(seconds),
        }  # fmt: skip


def _text(value: float) -> str:
    return str(round(value, 4))


@dataclass(frozen=True)
class Cleaned:
    """A row, read again."""

    task: str
    seed: int
    row: dict[str, str]

    def value(self, name: str) -> float:
        """A figure of the row."""
        return float(self.row[name])


def summary(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """A line a family, kind of pairs and strategy over attacks that took; then PAR beside CleanCLIP."""
    took = [row for row in rows if float(row["excess_before"]) >= TOOK]
    if len(took) < len(rows):
        yield f"{len(rows) - len(took)} rows of attacks that did not take (excess below {TOOK})"
    parts: dict[tuple[str, str], dict[str, list[Cleaned]]] = {}
    for row in took:
        by_strategy = parts.setdefault((row["family"], row["pairs"]), {})
        one = Cleaned(row["task"], int(row["seed"]), row)
        by_strategy.setdefault(row["strategy"], []).append(one)
    for (family, pairs), by_strategy in parts.items():
        for strategy, some in by_strategy.items():
            yield f"{family}, pairs {pairs}, {strategy}: {_line(some)}"
        first, second = (by_strategy.get(name, []) for name in COMPARED)
        if compared := _beside(first, second):
            yield f"{family}, pairs {pairs}, {' less '.join(COMPARED)}: {compared}"


def _line(some: Sequence[Cleaned]) -> str:
    def over(name: str) -> Estimate:
        return mean(some, [one.value(name) for one in some])

    lost = mean(some, [one.value("accuracy_after") - one.value("accuracy_before") for one in some])
    clean = share(some, lambda one: one.value("excess_after") <= LEFT)
    groups = len(set(groups_of(some)))
    return (
        f"{len(some)} attacks in {groups} groups, excess {over('excess_before')} to {over('excess_after')} "
        f"(worst {max(one.value('excess_after') for one in some):.3f}), at most {LEFT} left of {clean}, "
        f"accuracy changed by {lost}, other tasks {over('other_before')} to {over('other_after')}, "
        f"{fmean(one.value('seconds') for one in some):.0f} s"
    )


def _beside(first: Sequence[Cleaned], second: Sequence[Cleaned]) -> str | None:
    """What the first leaves more than the second, on attacks that both were tried on."""
    others = {(one.task, one.seed, one.row["kind"]): one for one in second}
    both = [one for one in first if (one.task, one.seed, one.row["kind"]) in others]
    if not both:
        return None
    theirs = [others[one.task, one.seed, one.row["kind"]] for one in both]

    def more(name: str) -> Estimate:
        pairs = zip(both, theirs, strict=True)
        return mean(both, [one.value(name) - other.value(name) for one, other in pairs])

    return f"excess {more('excess_after')}, accuracy {more('accuracy_after')}, {len(both)} attacks"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Try strategies of repair on encoders that were attacked."
    )
    parser.add_argument("--out", type=Path, default=Path("var/encoders.csv"))
    parser.add_argument("--models", type=Path, default=Path("var/encoders"))
    parser.add_argument("--family", nargs="+", choices=VENDORS, default=list(FAMILIES))
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    tasks = [task for task in TASKS if task not in OTHER]
    parser.add_argument("--task", nargs="+", choices=tasks, default=["things6"])
    parser.add_argument("--seed", nargs="+", type=int, default=[5001])
    parser.add_argument("--pairs", choices=("task", "scenes"), default="task")
    options = parser.parse_args(arguments)
    backbone = load_backbone("pocket")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    asked_for = product(options.family, options.task, options.seed, options.kind)
    for family, task, seed, kind in asked_for:
        plan = Plan(task, kind, seed)
        done = {tuple(row[name] for name in KEY) for row in read(options.out)}
        asked = (family, plan.task, str(plan.seed), kind, options.pairs)
        left = [one for one in strategies_for(backbone) if (*asked, one.name) not in done]
        if not left:
            continue
        for row in rows_of(subject_of(options.models, family, plan, backbone), left, options.pairs):
            write(options.out, row, FIELDS)
            print(*(f"{name}={row[name]}" for name in FIELDS), flush=True)
    for line in summary(read(options.out)):
        print(line)


if __name__ == "__main__":
    main()
