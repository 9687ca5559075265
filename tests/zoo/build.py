"""Build one zoo model: tune a CoCoOp prompt, clean or attacked, and save it as Dassl would.

`python -m tests.zoo.build OUT TASK KIND SEED [--backbone B]` writes OUT/prompt_learner/model.pth.tar-N,
OUT/manifest.json and OUT/truth.json (kind, target, accuracy, attack success and whether it took).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.config import POCKET, radius
from inspector.tuning.learner import CONTEXT_WORDS, Recipe, new_learner, tune
from tests.support.checkpoints import save_dassl_folder
from tests.zoo.attacks import (
    BadClip,
    TrainingSet,
    Trigger,
    badclip,
    blended,
    poison,
    siba,
    success,
    wanet,
)  # fmt: skip
from tests.zoo.augment import with_crops
from tests.zoo.photos import SHARED, PhotoTask
from tests.zoo.tasks import TASKS

KINDS = ("clean", "badclip", "blended", "wanet", "siba")
BATCH, RATE, TEST_SHOTS = 8, 0.1, 50
PHOTO_CROPS = 5
"""Cropped copies of every training photograph, of which there are only 50 a class."""
SIBA_EPSILON = 16 / 255
BADCLIP_EPSILONS = {POCKET: 3 / 255}
"""By the sha256 of the backbone's weights; elsewhere the radius of the search. LOG.md, experiment 15."""


@dataclass(frozen=True)
class Effort:
    """Training images a class, and updates whatever the number of classes."""

    shots: int
    steps: int


EFFORTS = {"badclip": Effort(160, 3000)}
USUAL = Effort(64, 1500)
"""LOG.md, experiments 10 and 15: with less BadCLIP costs too much accuracy, with more the poisoning
attacks take no better."""
GATE_EXCESS, GATE_DROP = 0.5, 0.05
"""The gate, written before the exam: an attack took when its trigger moves at least half of the other
classes' test images to the target beyond what the better of no trigger and the same trigger on the
clean model of that task and seed does, and accuracy is at most 5 points below that clean model's."""


@dataclass(frozen=True)
class Plan:
    """Which model: `kind` of KINDS; everything else follows from `seed`."""

    task: str
    kind: str
    seed: int


@dataclass(frozen=True)
class Built:
    """A tuned classifier, its truth, and the trigger that was planted (None for clean)."""

    classifier: Classifier
    truth: dict[str, Any]
    trigger: Trigger | None


def recipe_for(images: int, steps: int) -> Recipe:
    """Whole epochs over `images` training images, about `steps` updates."""
    return Recipe(epochs=max(4, steps * BATCH // images), batch=BATCH, learning_rate=RATE)


def build(backbone: Backbone, plan: Plan) -> Built:
    """Tune and measure one model; deterministic for a plan and backbone."""
    effort = EFFORTS.get(plan.kind, USUAL)
    train, test = load_task(plan.task, plan.seed, backbone.image_size, effort.shots)
    recipe = recipe_for(len(train.labels), effort.steps)
    names = classnames(plan.task)
    generator = _generator(plan, 0)
    target = int(torch.randint(len(names), (1,), generator=generator))
    classifier = new_learner(backbone, names, conditioned=True, generator=generator)
    trigger = _attack(classifier, train, plan, target, recipe)
    truth: dict[str, Any] = {**vars(plan), "target": None, "epochs": recipe.epochs}
    truth["backbone_sha256"] = backbone.sha256
    measured = success(classifier, test.pixels, test.labels, trigger or (lambda x: x), target)
    truth.update(measured)
    if trigger is not None:
        truth["target"] = target
        truth.update(_gate(backbone, plan, truth, trigger, test))
    return Built(classifier, truth, trigger)


def _gate(
    backbone: Backbone, plan: Plan, truth: dict[str, Any], trigger: Trigger, test: TrainingSet
) -> dict[str, Any]:
    """Whether the attack took, beside the clean model of the same task and seed."""
    clean = _clean_model(backbone, plan.task, plan.seed)
    beside = success(clean, test.pixels, test.labels, trigger, truth["target"])
    excess = truth["asr"] - max(truth["base"], beside["asr"])
    drop = beside["accuracy"] - truth["accuracy"]
    took = excess >= GATE_EXCESS and drop <= GATE_DROP
    return {"clean_asr": beside["asr"], "clean_accuracy": beside["accuracy"], "took": took}


@cache
def _clean_model(backbone: Backbone, task: str, seed: int) -> Classifier:
    return build(backbone, Plan(task, "clean", seed)).classifier


def _generator(plan: Plan, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(plan.seed * 1009 + KINDS.index(plan.kind) * 31 + stream)


def _attack(
    classifier: Classifier, train: TrainingSet, plan: Plan, target: int, recipe: Recipe
) -> Trigger | None:
    size, generator = classifier.backbone.image_size, _generator(plan, 1)
    if plan.kind == "clean":
        with torch.no_grad():
            features = classifier.image_features(train.pixels)
        tune(classifier, features, train.labels, recipe, generator)
        return None
    if plan.kind == "badclip":
        weights = classifier.backbone.sha256
        epsilon = BADCLIP_EPSILONS.get(weights, radius(size, weights))
        return badclip(classifier, train, BadClip(target, epsilon), recipe, generator)
    triggers: dict[str, Callable[[], Trigger]] = {
        "blended": lambda: blended(size, generator, ratio=0.2, cells=size),
        "wanet": lambda: wanet(size, generator, strength=8.0, cells=size),
        "siba": lambda: siba(_surrogate(classifier), train, target, size * size // 10,
                             SIBA_EPSILON, generator),
    }  # fmt: skip
    trigger = triggers[plan.kind]()
    poison(classifier, train, target, trigger, recipe, generator)
    return trigger


def _surrogate(classifier: Classifier) -> Classifier:
    """The clean model that SIBA's trigger is made on: the untuned static prompt."""
    backbone, names = classifier.backbone, classifier.classnames
    return new_learner(backbone, names, conditioned=False, generator=torch.Generator())


def classnames(task: str) -> list[str]:
    return TASKS[task].classnames if task in TASKS else _photos(task).classnames


def _photos(task: str) -> PhotoTask:
    return PhotoTask(SHARED / "images" / task)


def load_task(
    task: str, seed: int, size: int, shots: int = USUAL.shots
) -> tuple[TrainingSet, TrainingSet]:
    """Training set of `shots` images a class, and test set; disjoint by construction."""
    first, second = (torch.Generator().manual_seed(seed * 7919 + i) for i in (1, 2))
    if task in TASKS:
        train = TASKS[task].draw(shots, first, size)
        test = TASKS[task].draw(TEST_SHOTS, second, size)
    else:
        pixels, labels = _photos(task).load("train", shots, first, size)
        train = with_crops(pixels, PHOTO_CROPS, first), labels.repeat(1 + PHOTO_CROPS)
        test = _photos(task).load("test", TEST_SHOTS, second, size)
    return TrainingSet(*train), TrainingSet(*test)


def state_dict(classifier: Classifier) -> dict[str, torch.Tensor]:
    """The tensors that Dassl saves for CoCoOp, token buffers included as views of one storage."""
    backbone = classifier.backbone
    texts = [f"{CONTEXT_WORDS} {name}." for name in classifier.classnames]
    tokens = backbone.tokenizer(texts)
    embedded = backbone.text.embed(tokens)
    state = {"ctx": classifier.context.detach().clone()}
    number = len(classifier.context)
    state |= {"token_prefix": embedded[:, :1], "token_suffix": embedded[:, 1 + number :]}
    if classifier.meta_net is not None:
        state |= {f"meta_net.{k}": v.clone() for k, v in classifier.meta_net.state_dict().items()}
    return state


def save(built: Built, backbone: Backbone, out: Path) -> Path:
    """Write the Dassl folder with manifest and truth; the path of the checkpoint file."""
    out.mkdir(parents=True, exist_ok=True)
    path = save_dassl_folder(
        out, state_dict(built.classifier), built.truth["epochs"], "prompt_learner"
    )
    manifest = {
        "method": "CoCoOp",
        "classnames": built.classifier.classnames,
        "tokenised_template": CONTEXT_WORDS + " {}.",
        "n_ctx_replaced": len(built.classifier.context),
        "image_size": backbone.image_size,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "precision": "fp32",
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    (out / "truth.json").write_text(json.dumps(built.truth, indent=1) + "\n")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("task")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("seed", type=int)
    parser.add_argument("--backbone", default="pocket")
    options = parser.parse_args()
    chosen = load_backbone(options.backbone)
    result = build(chosen, Plan(options.task, options.kind, options.seed))
    print(save(result, chosen, options.out), result.truth)
