"""MaPLe: vectors in both encoders, those of the image encoder being projections of the other's.

Two take the place of the first words of "a photo of a", as many that of their tokens before deeper
blocks; each set has a layer of its own into the image encoder. Saved with both encoders. Source:
muzairkhattak/multimodal-prompt-learning `trainers/maple.py`, which rounds to half precision whatever it
puts between blocks or into the image encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn, optim

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import DeliveredEncoders, VisualPrompts
from inspector.clip.prompt_tuning import CONTEXT_WORDS
from inspector.clip.prompts import lay_out
from tests.support.checkpoints import save_dassl_folder
from tests.support.layouts import State, dassl, openai
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort, state_dict
from tests.zoo.vendors.family import TEMPLATE, Family, minimise, recipe_for

VECTORS, DEPTH, SPREAD = 2, 9, 0.02
"""Vectors of each block; blocks that have some, or as many as both encoders have; the standard
deviation of deep vectors at first."""
BATCH, RATE = 8, 0.1
TEXTS, LAYERS = "compound_prompts_text.{}", "compound_prompt_projections.{}"


@dataclass(frozen=True)
class Projected(VisualPrompts):
    """Prompts of the image encoder, and the learner that made them, by the names of its file."""

    learner: Mapping[str, Tensor]


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    words = backbone.tokenise([CONTEXT_WORDS], 1 + VECTORS + 1)[0, 1 : 1 + VECTORS]
    layout = lay_out(backbone, names, TEMPLATE, VECTORS)
    classifier = Classifier(backbone, names, layout, backbone.text.embed(words).clone())
    learner = {name: one.requires_grad_() for name, one in _fresh(backbone, generator).items()}
    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)

    def logits_of(rows: Tensor) -> Tensor:
        classifier.backbone = _encoders(backbone, classifier.context, learner)
        logits: Tensor = classifier(train.pixels[rows])
        return logits

    optimizer = optim.SGD(
        [classifier.context, *learner.values()],
        lr=RATE,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    minimise(optimizer, logits_of, train.labels, recipe, generator)
    classifier.requires_grad_(False)
    tuned = {name: one.detach() for name, one in learner.items()}
    classifier.backbone = _encoders(backbone, classifier.context, tuned)
    return classifier, recipe.epochs


def _fresh(backbone: Backbone, generator: torch.Generator) -> State:
    """A learner without its context, as the original initialises it."""
    text, visual = backbone.text, backbone.model.visual
    depth = min(DEPTH, text.depth, len(visual.transformer.resblocks))
    deep = range(depth - 1)
    learner = {
        TEXTS.format(i): torch.randn(VECTORS, text.width, generator=generator) * SPREAD
        for i in deep
    }
    into = text.width, len(visual.class_embedding)
    for name in ("proj", *(LAYERS.format(i) for i in deep)):
        layer = nn.utils.skip_init(nn.Linear, *into)
        bound = into[0] ** -0.5
        for part, tensor in layer.state_dict().items():
            learner[f"{name}.{part}"] = tensor.uniform_(-bound, bound, generator=generator)
    return learner


def _encoders(
    backbone: Backbone, context: Tensor, learner: Mapping[str, Tensor]
) -> DeliveredEncoders:
    texts = [learner[name] for name in learner if name.startswith(TEXTS.format(""))]

    def projected(vectors: Tensor, layer: str) -> Tensor:
        weight, bias = learner[f"{layer}.weight"], learner[f"{layer}.bias"]
        return nn.functional.linear(vectors, weight, bias).half().float()

    deep = {i + 1: projected(vectors, LAYERS.format(i)) for i, vectors in enumerate(texts)}
    return DeliveredEncoders(
        **vars(backbone),
        pristine=backbone,
        visual_prompts=Projected(projected(context, "proj"), deep, learner),
        text_prompts={i: vectors.half().float() for i, vectors in enumerate(texts, 1)},
    )


def _save(classifier: Classifier, folder: Path, epochs: int) -> Path:
    encoders = classifier.backbone
    assert isinstance(encoders, DeliveredEncoders)
    assert isinstance(encoders.visual_prompts, Projected)
    learner = {**state_dict(classifier), **encoders.visual_prompts.learner}
    state = dassl(openai(encoders.model))
    state |= {f"prompt_learner.{name}": tensor for name, tensor in learner.items()}
    return save_dassl_folder(folder, state, epochs)


FAMILY = Family(
    name="MaPLe",
    effort=Effort(64, 800),
    tune=_tune,
    save=_save,
    states_names=True,
    manifest={"n_ctx_replaced": VECTORS},
)
