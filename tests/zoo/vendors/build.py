"""One model of one family: tuned on the zoo's lesson, judged by the zoo's gate, saved for the reader.

Pictures, target and trigger are those of the CoCoOp model of the same task, kind and seed. The gate
compares with the same family's clean model.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from tests.zoo.attacks import TrainingSet, success
from tests.zoo.build import (
    Built,
    Plan,
    classnames,
    lesson_of,
    load_task,
    save_words,
    start_of,
    truth_of,
)
from tests.zoo.lessons import Lesson
from tests.zoo.vendors import clip_adapter, clip_lora, coop, fine_tuned, maple, promptsrc, vpt
from tests.zoo.vendors.family import TEMPLATE, Family, zero_shot

VENDORS = {
    module.FAMILY.name: module.FAMILY
    for module in (coop, clip_adapter, vpt, fine_tuned, maple, promptsrc, clip_lora)
}
TAUGHT = ("clean", "blended", "wanet", "badnets", "text", "noisy")
"""The kinds that are made here: of those that change nothing but pictures and labels."""
STRUCTURED = ("stripes",)
"""Kinds that are made as well, where they are asked for by name."""
PROVING = 4
"""Pictures whose logits the manifest tells where the file does not name its classes."""


def build(backbone: Backbone, family: Family, plan: Plan) -> Built:
    """Tune and measure one model; deterministic for its arguments.

    Raises:
        ValueError: a kind that is not made here.
    """
    if plan.kind not in (*TAUGHT, *STRUCTURED):
        raise ValueError(plan.kind)
    return (_kept if plan.kind == "clean" else _build)(backbone, family, plan)


@lru_cache(maxsize=2)
def _kept(backbone: Backbone, family: Family, plan: Plan) -> Built:
    """A clean model is wanted by every attack of its task and seed."""
    return _build(backbone, family, plan)


def _build(backbone: Backbone, family: Family, plan: Plan) -> Built:
    effort, names = family.effort, classnames(plan.task)
    train, test = load_task(plan.task, plan.seed, backbone.image_size, effort.shots)
    target, _ = start_of(plan, len(names))
    fixed = zero_shot(backbone, names)
    lesson, generator = lesson_of(fixed, Lesson(train, test), plan, target)
    classifier, epochs = family.tune(backbone, names, lesson.train, effort.steps, generator)

    def clean() -> Classifier:
        return _kept(backbone, family, Plan(plan.task, "clean", plan.seed)).classifier

    truth = truth_of(classifier, lesson, plan, (target, epochs), clean) | {"vendor": family.name}
    truth["zero_shot_accuracy"] = _accuracy(fixed, lesson.test)
    return Built(classifier, truth, lesson.plants)


def _accuracy(classifier: Classifier, data: TrainingSet) -> float:
    return success(classifier, data.pixels, data.labels, lambda pixels: pixels, 0)["accuracy"]


def save(built: Built, family: Family, out: Path) -> Path:
    """Write checkpoint, manifest and truth into the folder `out`; the path of the checkpoint."""
    path = family.save(built.classifier, out, built.truth["epochs"])
    save_words(out, manifest_of(built, family), built.truth)
    return path


def manifest_of(built: Built, family: Family) -> dict[str, Any]:
    """What the vendor states, with a proof where the file cannot speak for itself."""
    backbone = built.classifier.backbone.reference
    manifest: dict[str, Any] = {
        "method": family.name,
        "classnames": built.classifier.classnames,
        "tokenised_template": TEMPLATE,
        "image_size": backbone.image_size,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "precision": "fp32",
        **family.manifest,
    }
    if not family.states_names:
        manifest["check"] = _proof(built)
    return manifest


@torch.no_grad()
def _proof(built: Built) -> dict[str, Any]:
    """A few untriggered pictures of another seed than the model's, and their logits."""
    size, truth = built.classifier.backbone.image_size, built.truth
    _, other = load_task(truth["task"], truth["seed"] + 1, size, 1)
    rows = torch.linspace(0, len(other.labels) - 1, PROVING).long()
    # Short numbers, so that the manifest stays small; the logits are those of these very pictures.
    pixels = [[[[round(x, 3) for x in row] for row in c] for c in p]
              for p in other.pixels[rows].tolist()]  # fmt: skip
    return {"images": pixels, "logits": built.classifier(torch.tensor(pixels)).tolist()}
