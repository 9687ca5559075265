"""Build one zoo model: tune a CoCoOp prompt, clean or attacked, and save it as Dassl would.

`python -m tests.zoo.build OUT TASK KIND SEED [--backbone B]` writes OUT/prompt_learner/model.pth.tar-N,
OUT/manifest.json and OUT/truth.json: the plan, `is_backdoored` (a backdoor was planted), its family,
mapping, target and source, accuracy, and by `tests.zoo.gate` success, for every trigger apart under
`plants`, and `took`. For clean models target, family and mapping are null; a control that lays
something over pictures tells under `overlay` what that does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import CONTEXT_WORDS, Recipe, new_learner, tune
from inspector.profiles import POCKET, radius
from tests.support.assembling import delivered
from tests.support.checkpoints import save_dassl_folder
from tests.zoo import controls
from tests.zoo.adaptive import QUIET, Learnt, narrow, norms, popular, tune_quietly
from tests.zoo.attacks import BadClip, Plant, TrainingSet, badclip, success
from tests.zoo.augment import with_crops
from tests.zoo.encoding import features_of
from tests.zoo.evasion import tune_evasively
from tests.zoo.families import Vendor
from tests.zoo.gate import judge
from tests.zoo.hardening import tune_adversarially
from tests.zoo.kinds import FAMILIES, KINDS, PACES, STATIC, is_backdoored, mapping
from tests.zoo.lessons import Lesson, attacked, honest
from tests.zoo.photos import SHARED, PhotoTask
from tests.zoo.static import context_alone
from tests.zoo.subsets import SUBSETS
from tests.zoo.tasks import TASKS
from tests.zoo.triggers import Trigger, additive
from tests.zoo.tuning import tune_until_worse, tune_with_adam

COCOOP = "CoCoOp"
"""The family that is built here; `tests.zoo.vendors` builds others."""
BATCH, RATE, TEST_SHOTS = 8, 0.1, 50
FINISHED = "truth.json"
"""Written last: where it lies, the model beside it is whole."""
PHOTO_CROPS = 5
"""Cropped copies of every training photograph, of which there are only 50 a class."""
BADCLIP_EPSILONS = {POCKET: 3 / 255}
"""By the sha256 of the backbone's weights; elsewhere the radius of the search. Experiment 15."""


@dataclass(frozen=True)
class Effort:
    """Training images a class, and updates whatever the number of classes."""

    shots: int
    steps: int


EFFORTS = {
    "badclip": Effort(160, 3000),
    "badclip_adaptive": Effort(160, 3000),
    "overtrained": Effort(64, 1500 * controls.OVERTRAINING),
    "adversarial": Effort(64, 750),
    "slower": Effort(64, 1500 * controls.SLOWER),
    "published": Effort(64, 1500 * controls.OVERTRAINING),
    **{f"shots{shots}": Effort(shots, 1500) for shots in (4, 8, 16, 32)},
}
RATES = {
    "steep": controls.STEEPNESS * RATE,
    "slower": controls.SLOWER_RATE,
    "published": controls.PUBLISHED_RATE,
}
"""Kind to its peak rate where that is not RATE."""
USUAL = Effort(64, 1500)
"""Experiments 10 and 15: with less BadCLIP costs too much accuracy, with more the poisoning
attacks take no better. An adversarial batch holds twice as many pictures and costs four times as much,
hence half the updates. BadCLIP Adaptive tunes the usual number of updates more."""


@dataclass(frozen=True)
class Plan:
    """Which model: `kind` of KINDS; everything else follows from `seed`."""

    task: str
    kind: str
    seed: int

    @property
    def name(self) -> str:
        """The folder of a zoo that holds it."""
        return f"{self.task}-{self.seed}-{self.kind}"


@dataclass(frozen=True)
class Built:
    """A tuned classifier, its truth, and what was planted (nothing in clean ones)."""

    classifier: Classifier
    truth: dict[str, Any]
    plants: tuple[Plant, ...]

    @property
    def trigger(self) -> Trigger | None:
        """The first trigger, or None for clean models."""
        return self.plants[0].trigger if self.plants else None


def effort_of(kind: str) -> Effort:
    """What a vendor of `kind` spends; an attacker may have the pace of an honest one."""
    return EFFORTS.get(PACES.get(kind, kind), USUAL)


def recipe_for(images: int, steps: int) -> Recipe:
    """Whole epochs over `images` training images, about `steps` updates."""
    return Recipe(epochs=max(4, steps * BATCH // images), batch=BATCH, learning_rate=RATE)


def build(backbone: Backbone, plan: Plan, zoo: Path | None = None) -> Built:
    """Tune and measure one model; deterministic for a plan and backbone.

    zoo: where the clean model of that task and seed may lie already; it is tuned where it does not.
    """
    effort = effort_of(plan.kind)
    train, test = load_task(plan.task, plan.seed, backbone.image_size, effort.shots)
    names = names_of(plan)
    target, generator = start_of(plan, len(names))
    classifier = new_learner(backbone, names, conditioned=True, generator=generator)
    if plan.kind == "popular":
        target = popular(_surrogate(classifier), train.pixels)
    clean = partial(_clean_model, backbone, replace(plan, kind="clean"), zoo)
    lesson, epochs = _tune(classifier, Lesson(train, test), plan, target, clean)
    truth = truth_of(classifier, lesson, plan, (target, epochs), clean)
    return Built(classifier, truth, lesson.plants)


def start_of(plan: Plan, classes: int) -> tuple[int, torch.Generator]:
    """The class that is attacked (of a clean model: looked at), and what a fresh learner is drawn from."""
    generator = _generator(plan, 0)
    return int(torch.randint(classes, (1,), generator=generator)), generator


def lesson_of(
    classifier: Classifier, lesson: Lesson, plan: Plan, target: int
) -> tuple[Lesson, torch.Generator]:
    """What a vendor of `plan.kind` makes of a lesson, and the generator to tune with.

    classifier: of the same classes and picture size as the one that is tuned.
    """
    generator, vendor = _generator(plan, 1), _vendor(classifier, plan, target)
    prepare = attacked if is_backdoored(plan.kind) else honest
    return prepare(lesson, vendor, generator), generator


def truth_of(
    classifier: Classifier, lesson: Lesson, plan: Plan, told: tuple[int, int],
    clean: Callable[[], Classifier],
) -> dict[str, Any]:  # fmt: skip
    """Everything about a tuned classifier that an inspection must not know.

    told: the class that is attacked or looked at, and the number of epochs.
    clean: the clean model beside which the gate judges; asked only where something was planted.
    """
    target, epochs = told
    truth: dict[str, Any] = {**vars(plan), "target": None, "epochs": epochs}
    truth["backbone_sha256"] = classifier.backbone.sha256
    truth |= {"is_backdoored": is_backdoored(plan.kind), "family": FAMILIES.get(plan.kind)}
    truth["mapping"] = mapping(plan.kind)
    truth |= success(classifier, *_pair(lesson.test), lambda pixels: pixels, target)
    if lesson.overlay is not None:
        shown = lesson.overlay
        effect = success(classifier, *_pair(lesson.test), shown.trigger, shown.target)
        truth["overlay"] = {"target": shown.target, "asr": effect["asr"], "base": effect["base"]}
    if lesson.plants:
        truth |= judge(classifier, clean(), *_pair(lesson.test), lesson.plants)
    return truth


def _pair(data: TrainingSet) -> tuple[Tensor, Tensor]:
    return data.pixels, data.labels


@cache
def _clean_model(backbone: Backbone, plan: Plan, zoo: Path | None) -> Classifier:
    """As it was saved, where it was, as tuning it anew takes as long as the model that asks for it."""
    if zoo is not None and (zoo / plan.name / FINISHED).exists():
        return delivered(zoo / plan.name, backbone)
    return build(backbone, plan).classifier


def _generator(plan: Plan, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(plan.seed * 1009 + KINDS.index(plan.kind) * 31 + stream)


def _vendor(classifier: Classifier, plan: Plan, target: int) -> Vendor:
    classes = len(classifier.classnames)
    other = int(torch.randint(1, classes, (1,), generator=_generator(plan, 2)))
    return Vendor(
        kind=plan.kind,
        classes=classes,
        size=classifier.backbone.image_size,
        is_geometric=plan.task in TASKS and TASKS[plan.task].is_geometric,
        target=target,
        other=(target + other) % classes,
        surrogate=lambda: _surrogate(classifier),
    )


def _tune(
    classifier: Classifier, lesson: Lesson, plan: Plan, target: int, clean: Callable[[], Classifier]
) -> tuple[Lesson, int]:
    """Tune in place; what it was tuned and is to be tested on, and the number of epochs."""
    if plan.kind in ("badclip", "badclip_adaptive"):
        vendor = _vendor(classifier, plan, target)
        return _tune_badclip(classifier, lesson, vendor, _generator(plan, 1))
    lesson, generator = lesson_of(classifier, lesson, plan, target)
    train, steps = lesson.train, effort_of(plan.kind).steps
    recipe = recipe_for(len(train.labels), steps)
    match plan.kind:
        case "quiet":
            limits = {name: (QUIET * f, QUIET * s) for name, (f, s) in norms(clean()).items()}
            tune_quietly(classifier, train, limits, recipe, generator)
        case "evasive":
            tune_evasively(classifier, train, target, recipe, generator)
        case "adversarial":
            tune_adversarially(classifier, train, recipe, generator)
        case _:
            rate = RATES.get(PACES.get(plan.kind, plan.kind), RATE)
            recipe = replace(recipe, learning_rate=rate)
            fixed = (
                context_alone(classifier, plan.kind, clean)
                if plan.kind in STATIC
                else nullcontext()
            )
            with fixed:
                return lesson, _tune_on_features(classifier, train, plan.kind, recipe, generator)
    return lesson, recipe.epochs


def _tune_on_features(
    classifier: Classifier, train: TrainingSet, kind: str, recipe: Recipe,
    generator: torch.Generator,
) -> int:  # fmt: skip
    """By the loop of an honest kind, which all poisoning ones share with `clean`; the epochs it took."""
    features = features_of(classifier, train.pixels)
    if kind == "stopped":
        return tune_until_worse(classifier, features, train.labels, recipe, generator)
    loop = tune_with_adam if kind == "adam" else tune
    loop(classifier, features, train.labels, recipe, generator)
    return recipe.epochs


def _tune_badclip(
    classifier: Classifier, lesson: Lesson, vendor: Vendor, generator: torch.Generator
) -> tuple[Lesson, int]:
    train, target, weights = lesson.train, vendor.target, classifier.backbone.sha256
    epsilon = BADCLIP_EPSILONS.get(weights, radius(vendor.size, weights))
    recipe = recipe_for(len(train.labels), effort_of(vendor.kind).steps)
    delta = badclip(classifier, train, BadClip(target, epsilon), recipe, generator)
    trigger, epochs = additive(delta), recipe.epochs
    if vendor.kind == "badclip_adaptive":
        recipe = recipe_for(len(train.labels), USUAL.steps)
        trigger = narrow(classifier, train, Learnt(delta, epsilon, target), recipe, generator)
        epochs += recipe.epochs
    return replace(lesson, plants=(Plant(trigger, target),)), epochs


def _surrogate(classifier: Classifier) -> Classifier:
    """The clean model that SIBA's trigger is made on: the untuned static prompt."""
    backbone, names = classifier.backbone, classifier.classnames
    return new_learner(backbone, names, conditioned=False, generator=torch.Generator())


def names_of(plan: Plan) -> list[str]:
    """The class names that a vendor of `plan.kind` tunes under and delivers."""
    names = classnames(plan.task)
    return controls.codes(len(names), _generator(plan, 3)) if plan.kind == "codes" else names


def classnames(task: str) -> list[str]:
    return TASKS[task].classnames if task in TASKS else _photos(task).classnames


def _photos(task: str) -> PhotoTask:
    """A subset that has that name, else the whole folder."""
    if task in SUBSETS:
        return PhotoTask(SHARED / "images" / SUBSETS[task].folder, SUBSETS[task].classes)
    return PhotoTask(SHARED / "images" / task)


def load_task(
    task: str, seed: int, size: int, shots: int = USUAL.shots
) -> tuple[TrainingSet, TrainingSet]:
    """Training set of `shots` images a class, and test set; disjoint by construction."""
    first, second = (torch.Generator().manual_seed(seed * 7919 + i) for i in (1, 2))
    if task in TASKS:
        train = TASKS[task].draw(min(shots, TASKS[task].most_shots), first, size)
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
    """Write the Dassl folder, manifest and, last and whole, truth; the path of the checkpoint file."""
    out.mkdir(parents=True, exist_ok=True)
    path = save_dassl_folder(
        out, state_dict(built.classifier), built.truth["epochs"], "prompt_learner"
    )
    manifest = {
        "method": COCOOP,
        "classnames": built.classifier.classnames,
        "tokenised_template": CONTEXT_WORDS + " {}.",
        "n_ctx_replaced": len(built.classifier.context),
        "image_size": backbone.image_size,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "precision": "fp32",
    }
    save_words(out, manifest, built.truth)
    return path


def save_words(out: Path, manifest: Mapping[str, Any], truth: Mapping[str, Any]) -> None:
    """Write the manifest and, last and whole, truth: where it is, a model is finished."""
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    unfinished = out / f"{FINISHED}.part"
    unfinished.write_text(json.dumps(truth, indent=1) + "\n")
    unfinished.replace(out / FINISHED)


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
