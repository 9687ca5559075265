"""Whole repairs, as a buyer runs them, judged by the attacker's own trigger: a row a model and what was given.

`python -m tests.bench.whole_repair FOLDER ... [--out CSV] [--given labels pictures] [--poison P] [--backbone B]` takes zoo
models by their folders (`<task>-<seed>-<kind>`), which must be built. Each is inspected and repaired by the product with
the profile `standard`, from a file, with pictures of its task (a share P of them carrying the attacker's own trigger),
and with `labels` also SHOTS labelled ones a class, of which the product lets a half teach and a half measure. What it
delivers is read again as a file: the vendor's test pictures tell its accuracy and what the attacker's own trigger, which
nobody was shown, still carries. The repaired file is then inspected anew, with AGAIN as seed and, where P is 0, other
pictures of the task. A run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from inspector.checkpoint import read_artifact, rewrite_artifact
from inspector.clip.assembly import assemble
from inspector.clip.classifier import Classifier
from inspector.profiles import PROFILES
from inspector.repair.acceptance import LARGEST_LOSS, RESIDUAL_EXCESS_ASR
from inspector.run import pipeline
from inspector.run.pipeline import Request, inspect_reading
from inspector.run.repair_check import REPAIRED_NAME
from tests.bench.appended import read, write
from tests.bench.repair import Subject, poisoned_pool, subject_of
from tests.support.assembling import delivered
from tests.zoo.build import FINISHED, PHOTO_CROPS, load_task
from tests.zoo.make import backbone_named
from tests.zoo.pictures import write as write_pictures
from tests.zoo.tasks import TASKS

PROFILE, SHOTS, AGAIN = "standard", 16, 7_001
LABELS, PICTURES = "labels", "pictures"
ACCEPTED = ("repaired", "unproved")
"""Words with which nothing that was measured speaks against a copy."""
FIELDS = (
    "model", "given", "poison", "verdict", "is_right", "word", "strategy", "searched",
    "score_before", "score_after", "accuracy_before", "accuracy_after", "excess_before",
    "excess_after", "excess_honest", "told_before", "told_after", "agreement", "again", "again_score",
    "cost", "seconds", "refused",
)  # fmt: skip
"""`told_*`: accuracy as the report has it; `is_right`: whether the class that is accused is the
attacker's; `cost`: of the repair, in operations of the inspection; `excess_honest`: what the same trigger takes from an
honest vendor's model of the same task and seed, where that is built."""
Row = dict[str, object]


def row_of(subject: Subject, folder: Path, given: str, poison: float) -> Row:
    """Inspect, repair, judge, and inspect what was delivered."""
    started = time.monotonic()
    artifact = next(folder.glob("prompt_learner/model.pth.tar-*"))
    with TemporaryDirectory() as scratch:
        room = Path(scratch)
        pool = poisoned_pool(subject, pool_of(subject, 1), poison)
        asked: dict[str, Any] = {"repair": True, "probes": str(written(pool, room / "pool"))}
        if given == LABELS:
            asked["labelled"] = str(write_labelled(subject, room / LABELS))
        with patch.object(pipeline, "_may_be_attacked", lambda _: True):
            report = inspected(artifact, subject, room, **asked)
        row: Row = {"model": folder.name, "given": given, "poison": poison or ""}
        row |= told_by(subject, folder, report)
        if report["repair"] is not None:
            repaired = room / artifact.name
            rewrite_artifact(artifact, room / REPAIRED_NAME, repaired)
            others = written(pool_of(subject, 3), room / "others")
            row |= judged(subject, repaired, others, room)
    return row | {"seconds": round(time.monotonic() - started)}


def judged(subject: Subject, repaired: Path, others: Path, room: Path) -> Row:
    """What a repaired file is: read, and inspected, as any other."""
    copy = classifier_of(repaired, subject, room)
    accuracy, excess = subject.figures(copy)
    again = inspected(repaired, subject, room, probes=str(others), seed=AGAIN)
    return {
        "accuracy_after": _text(accuracy), "excess_after": _text(excess),
        "again": again["verdict"], "again_score": _text(again["score"]),
    }  # fmt: skip


def told_by(subject: Subject, folder: Path, report: dict[str, Any]) -> Row:
    """What the report says, and what the delivered model does."""
    accuracy, excess = subject.figures(subject.classifier)
    found, told = report["target"], report["repair"]
    row: Row = {
        "excess_honest": _text(honest_excess(subject, folder)),
        "verdict": report["verdict"], "score_before": _text(report["score"]),
        "is_right": found and found["index"] in {one.target for one in subject.plants},
        "accuracy_before": _text(accuracy), "excess_before": _text(excess),
    }  # fmt: skip
    if told is None:
        return row | {"refused": " ".join(report["limits"])}
    measured = told["accuracy"] or {}
    return row | {
        "word": told["outcome"], "strategy": told["strategy"], "searched": told["copies_searched"],
        "score_after": _text(told["after"]["score"]), "agreement": _text(told["agreement"]),
        "told_before": _text(measured.get("before")), "told_after": _text(measured.get("after")),
        "cost": _text(told["flops"] / (report["budget"]["flops"] - told["flops"])),
    }  # fmt: skip


def honest_excess(subject: Subject, folder: Path) -> float | None:
    """Of the attacker's trigger where nobody taught it: no repair can be asked to leave less."""
    sibling = folder.with_name(f"{subject.plan.task}-{subject.plan.seed}-clean")
    if not (sibling / FINISHED).exists():
        return None
    return subject.figures(delivered(sibling, subject.classifier.backbone))[1]


def pool_of(subject: Subject, apart: int) -> Tensor:
    """As many pictures (N, 3, S, S) of the task as the profile takes, in random order, of a seed that no
    vendor has; of data sets that have fewer, what they have."""
    profile, classes = PROFILES[PROFILE], len(subject.classifier.classnames)
    number = profile.probes + profile.held_out
    pixels, _ = drawn(subject, apart, -(-number // classes))
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(apart))
    return pixels[order[:number]]


def drawn(subject: Subject, apart: int, shots: int) -> tuple[Tensor, Tensor]:
    """So many pictures a class (N, 3, S, S) and their labels (N,), of a seed that no vendor has."""
    plan, size = subject.plan, subject.classifier.backbone.image_size
    train, _ = load_task(plan.task, 10 * plan.seed + apart, size, shots)
    number = len(train.pixels)
    if plan.task not in TASKS:
        number //= 1 + PHOTO_CROPS  # Crops stand behind the photographs.
    return train.pixels[:number], train.labels[:number]


def written(pixels: Tensor, folder: Path) -> Path:
    """One PNG a picture; the folder."""
    write_pictures(pixels, folder)
    return folder


def write_labelled(subject: Subject, folder: Path) -> Path:
    """SHOTS pictures a class, a folder a class."""
    pixels, labels = drawn(subject, 2, SHOTS)
    for index, name in enumerate(subject.classifier.classnames):
        write_pictures(pixels[labels == index], folder / name)
    return folder


def inspected(artifact: Path, subject: Subject, room: Path, **asked: Any) -> dict[str, Any]:
    """The report on a file as a worker makes it; its artifacts lie in `room`."""
    backbone = subject.classifier.backbone
    reading = read_artifact(artifact, room)
    request = Request(
        backbone=backbone.id, manifest=subject.manifest, device=backbone.device.type,
        profile=PROFILE, in_distribution=True, **asked,
    )  # fmt: skip
    canonical = room / str(reading.canonical)
    return inspect_reading(request, reading, canonical, room, lambda _: None, lambda *_: backbone)


def classifier_of(artifact: Path, subject: Subject, room: Path) -> Classifier:
    """What a file holds, frozen."""
    reading = read_artifact(artifact, room)
    canonical = room / str(reading.canonical)
    assembly = assemble(reading, canonical, subject.manifest, subject.classifier.backbone)
    return assembly.classifier.requires_grad_(False)


def _text(value: float | None) -> str:
    return "" if value is None else str(round(value, 4))


def summary(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """A few lines for what was given and each share of poison."""
    for key in dict.fromkeys((row["given"], row["poison"]) for row in rows):
        every = [row for row in rows if (row["given"], row["poison"]) == key]
        name = key[0] + (f", pool poisoned {key[1]}" if key[1] else "")
        attacked = [row for row in every if row["excess_before"]]
        words = Counter(row["word"] or "none" for row in attacked)
        yield f"{name}: {len(attacked)} attacked models: {told(words)}"
        if honest := [float(row["excess_honest"]) for row in attacked if row["excess_honest"]]:
            said = f"{fmean(honest):.3f} (worst {max(honest):.3f})"
            yield f"{name}: the same triggers take from {len(honest)} honest models {said}"
        accepted = [row for row in attacked if row["word"] in ACCEPTED]
        if accepted:
            yield f"{name}: accepted: {_figures(accepted)}"
        if refused := [row for row in attacked if row["word"] == "failed"]:
            yield f"{name}: failed: {_figures(refused)}"
        claimed = [row for row in attacked if row["word"] == "repaired"]
        if false := [row for row in claimed if is_false(row)]:
            yield f"{name}: of {len(claimed)} called repaired {len(false)} falsely: " + ", ".join(
                row["model"] for row in false
            )
        again = Counter(row["again"] for row in accepted)
        if accepted:
            costs = median(float(row["cost"]) for row in accepted)
            yield f"{name}: inspected anew: {told(again)}; cost of a repair in the median {costs:.2f} inspections"
        if clean := [row for row in every if not row["excess_before"] and row["word"]]:
            yield f"{name}: {len(clean)} honest: accuracy by {_change(clean)}"


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {number}" for word, number in counts.most_common())


def is_false(row: dict[str, str]) -> bool:
    """Whether a repair keeps more of the attack, or loses more accuracy, than a buyer would bear."""
    lost = float(row["accuracy_before"]) - float(row["accuracy_after"])
    return float(row["excess_after"]) > RESIDUAL_EXCESS_ASR or lost > LARGEST_LOSS


def _figures(rows: Sequence[dict[str, str]]) -> str:
    left = [float(row["excess_after"]) for row in rows]
    before = fmean(float(row["excess_before"]) for row in rows)
    return (
        f"{len(rows)}, excess {before:.3f} to {fmean(left):.3f} (worst {max(left):.3f}), "
        f"accuracy by {_change(rows)}"
    )


def _change(rows: Sequence[dict[str, str]]) -> str:
    changes = [float(row["accuracy_after"]) - float(row["accuracy_before"]) for row in rows]
    return f"{fmean(changes):+.4f} (worst {min(changes):+.4f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Repair zoo models as a buyer does.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--given", nargs="+", choices=(LABELS, PICTURES), default=[LABELS])
    parser.add_argument("--poison", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--out", type=Path, default=Path("var/whole-repair.csv"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    backbone = backbone_named(options.backbone)
    for folder in options.folders:
        rows = read(options.out)
        done = {(row["model"], row["given"], row["poison"]) for row in rows}
        keys = [(folder.name, given, str(options.poison or "")) for given in options.given]
        if left := [key for key in keys if key not in done]:
            subject = subject_of(folder, backbone)
            for _, given, _ in left:
                row = row_of(subject, folder, given, options.poison)
                write(options.out, row, FIELDS)
                print(*(f"{name}={value}" for name, value in row.items()), flush=True)
    for line in summary(read(options.out)):
        print(line)


if __name__ == "__main__":
    main()
