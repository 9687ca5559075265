"""Fresh prompt learners and their training on cached image features.

Recipes are those of CoOp and CoCoOp (KaiyangZhou/CoOp `configs/trainers`): SGD with momentum 0.9
and weight decay 5e-4 (Dassl's defaults), learning rate 0.002, cosine decay after one constant
warm-up epoch at 1e-5, context initialised from "a photo of a". The encoder is frozen and no
augmentation is used, so image features are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier, MetaNet
from inspector.clip.prompts import lay_out

CONTEXT_WORDS = "a photo of a"
_DRAWN_STD = 0.02
"""Of context vectors that no word initialises, in CoOp."""


@dataclass(frozen=True)
class Recipe:
    """Optimisation settings; `epochs` are passes over the data, `learning_rate` is the peak."""

    epochs: int = 10
    batch: int = 4
    learning_rate: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_rate: float = 1e-5


def new_learner(
    backbone: Backbone, classnames: Sequence[str], *, conditioned: bool, generator: torch.Generator
) -> Classifier:
    """An untrained CoOp or (conditioned) CoCoOp prompt starting at "a photo of a"."""
    tokens = backbone.tokenizer([CONTEXT_WORDS])[:, 1:5].to(backbone.device)
    layout = lay_out(backbone, classnames, CONTEXT_WORDS + " {}.", 4)
    context = backbone.text.embed(tokens)[0].clone()
    meta_net = new_meta_net(backbone, generator) if conditioned else None
    return Classifier(backbone, list(classnames), layout, context, meta_net).to(backbone.device)


def new_learner_like(classifier: Classifier, generator: torch.Generator) -> Classifier:
    """An untrained prompt of a tuned one's shape and layout, with nothing of its values in it.

    "a photo of a" fills the context. Of a shorter one its last words do; what a longer one has
    before them is drawn as CoOp draws a context without words. Every class of a class-specific
    context starts alike.
    """
    backbone, delivered = classifier.backbone, classifier.context
    tokens = backbone.tokenizer([CONTEXT_WORDS])[:, 1:5].to(backbone.device)
    words = backbone.text.embed(tokens)[0]
    length, width = delivered.shape[-2:]
    drawn = torch.randn(max(0, length - len(words)), width, generator=generator) * _DRAWN_STD
    start = torch.cat([drawn.to(words), words[max(0, len(words) - length) :]])
    meta_net = None
    if classifier.meta_net is not None:
        meta_net = new_meta_net(backbone, generator, classifier.meta_net.linear1.out_features)
    context = start.expand(delivered.shape).clone()
    names, layout = list(classifier.classnames), classifier.layout
    learner = Classifier(backbone, names, layout, context, meta_net, classifier.matching)
    return learner.to(backbone.device)


def new_meta_net(
    backbone: Backbone, generator: torch.Generator, hidden: int | None = None
) -> MetaNet:
    """CoCoOp's meta-net: hidden width features // 16, torch's default linear initialisation."""
    features, width = backbone.embed_dim, backbone.text.width
    net = MetaNet(features, hidden or features // 16, width)
    for layer in (net.linear1, net.linear2):
        bound = 1 / math.sqrt(layer.in_features)
        for values in (layer.weight, layer.bias):
            noise = torch.rand(values.shape, generator=generator)
            values.data.copy_((noise * 2 - 1) * bound)
    return net


def learning_rates(recipe: Recipe, steps_per_epoch: int) -> list[float]:
    """One rate per step: a constant warm-up epoch, then a cosine over all epochs (Dassl)."""
    rates = []
    for epoch in range(recipe.epochs):
        cosine = 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs)) * recipe.learning_rate
        rates += [recipe.warmup_rate if epoch == 0 else cosine] * steps_per_epoch
    return rates


def tune(
    classifier: Classifier,
    features: Tensor,
    targets: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
) -> None:
    """Minimise cross entropy in place; features (N, D), targets (N,) labels or (N, K) soft."""
    steps = math.ceil(len(features) / recipe.batch)
    optimizer = torch.optim.SGD(
        classifier.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    order: list[Tensor] = []
    for rate in learning_rates(recipe, steps):
        if not order:
            shuffled = torch.randperm(len(features), generator=generator)
            order = list(shuffled.to(features.device).split(recipe.batch))
        rows = order.pop()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        logits = classifier.logits_from_features(features[rows])
        functional.cross_entropy(logits, targets[rows]).backward()
        optimizer.step()
