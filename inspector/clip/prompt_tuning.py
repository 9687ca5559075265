"""Fresh prompt learners and their training on cached image features.

Recipes are those of CoOp and CoCoOp (KaiyangZhou/CoOp `configs/trainers`): SGD with momentum 0.9
and weight decay 5e-4 (Dassl's defaults), learning rate 0.002, cosine decay after one constant
warm-up epoch at 1e-5, context initialised from "a photo of a". The encoder is frozen and no
augmentation is used, so image features are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


def context_words(backbone: Backbone, length: int, generator: torch.Generator) -> Tensor:
    """Vectors (length, W) that a context begins with: "a photo of a".

    Of a shorter one its last words; what a longer one has before them is drawn as CoOp draws a
    context without words.
    """
    tokens = backbone.tokenizer([CONTEXT_WORDS])[:, 1:5].to(backbone.device)
    words = backbone.text.embed(tokens)[0]
    drawn = drawn_vectors((max(0, length - len(words)), words.shape[1]), generator)
    return torch.cat([drawn.to(words), words[max(0, len(words) - length) :]])


def drawn_vectors(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Vectors of any shape, normal around zero, as CoOp and its kin draw them."""
    return torch.randn(*shape, generator=generator) * _DRAWN_STD


def drawn_layer(shape: Sequence[int], inputs: int, generator: torch.Generator) -> Tensor:
    """Weight or bias of any shape of a linear layer with so many inputs, as torch draws it."""
    return (torch.rand(*shape, generator=generator) * 2 - 1) / math.sqrt(inputs)


def new_meta_net(backbone: Backbone, generator: torch.Generator) -> MetaNet:
    """CoCoOp's meta-net: hidden width features // 16, torch's default linear initialisation."""
    features, width = backbone.embed_dim, backbone.text.width
    net = MetaNet(features, features // 16, width)
    for layer in (net.linear1, net.linear2):
        for values in (layer.weight, layer.bias):
            values.data.copy_(drawn_layer(values.shape, layer.in_features, generator))
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

    def logits_of(rows: Tensor) -> Tensor:
        return classifier.logits_from_features(features[rows])

    descend(list(classifier.parameters()), logits_of, targets, recipe, generator)


def descend(
    parameters: Sequence[Tensor],
    logits_of: Callable[[Tensor], Tensor],
    targets: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
) -> None:
    """Minimise the cross entropy of the logits (B, K) of rows (B,) in place.

    Args:
        targets: labels (N,) or soft ones (N, K).
    """
    steps = math.ceil(len(targets) / recipe.batch)
    optimizer = torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    order: list[Tensor] = []
    for rate in learning_rates(recipe, steps):
        if not order:
            shuffled = torch.randperm(len(targets), generator=generator)
            order = list(shuffled.to(targets.device).split(recipe.batch))
        rows = order.pop()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        functional.cross_entropy(logits_of(rows), targets[rows]).backward()
        optimizer.step()
