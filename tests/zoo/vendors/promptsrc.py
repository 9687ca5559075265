"""PromptSRC: vectors in the blocks of both encoders, held near the frozen model and averaged.

Those of one encoder know nothing of the other's. Beside cross entropy stand how far text and image
features are from the frozen model's, and the divergence of logits; what is delivered is the mean of
all epochs, weighted by a Gaussian. Saved with both encoders, and the frozen image encoder once more.
Source: muzairkhattak/PromptSRC `trainers/promptsrc.py`, which compares text with the mean of many
templates; here there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import DeliveredEncoders, VisualPrompts
from inspector.clip.prompt_tuning import Recipe, learning_rates, new_learner
from tests.support.checkpoints import save_dassl_folder
from tests.support.layouts import dassl, openai
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort, state_dict
from tests.zoo.encoding import features_of
from tests.zoo.vendors.family import Family, recipe_for, zero_shot

VECTORS, DEPTH, SPREAD = 4, 9, 0.02
"""Vectors of each block; blocks that have some, or as many as the encoder has; the standard deviation
at first of all but the words."""
TEXT_WEIGHT, IMAGE_WEIGHT = 6.0, 2.4
"""The original's 25 and 10, made for cosines times 100 and means over 512 features, in proportion to
pocket's 33.5 and to the root of its 256."""
MEAN, DEVIATION = 0.75, 0.05
"""Of the Gaussian, in shares of all epochs: 15 and 1 of 20."""
BATCH, RATE = 8, 0.01


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    classifier = new_learner(backbone, names, conditioned=False, generator=generator)
    texts, visuals = _fresh(backbone, generator)
    frozen = zero_shot(backbone, names)
    images = features_of(frozen, train.pixels)
    with torch.no_grad():
        words = frozen.text_features()
    scale = backbone.logit_scale

    def loss_of(rows: Tensor) -> Tensor:
        classifier.backbone = _encoders(backbone, texts, visuals)
        image = classifier.image_features(train.pixels[rows])
        text = classifier.text_features()
        logits, frozens = scale * image @ text.T, scale * images[rows] @ words.T
        divergence = functional.kl_div(
            logits.log_softmax(1), frozens.log_softmax(1), reduction="sum", log_target=True
        )
        return (
            functional.cross_entropy(logits, train.labels[rows])
            + TEXT_WEIGHT * functional.l1_loss(text, words)
            + IMAGE_WEIGHT * functional.l1_loss(image, images[rows])
            + divergence / logits.numel()
        )

    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)
    vectors = [classifier.context, texts, visuals]
    _minimise(vectors, loss_of, len(train.labels), recipe, generator)
    classifier.requires_grad_(False)
    classifier.backbone = _encoders(backbone, texts.detach(), visuals.detach())
    return classifier, recipe.epochs


def _fresh(backbone: Backbone, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    """Vectors of the text encoder's blocks behind the first, and of the image encoder's."""
    text, visual = backbone.text, backbone.model.visual
    blocks = len(visual.transformer.resblocks)
    shapes = (
        (min(DEPTH, text.depth) - 1, VECTORS, text.width),
        (min(DEPTH, blocks), VECTORS, len(visual.class_embedding)),
    )
    texts, visuals = (nn.Parameter(torch.randn(s, generator=generator) * SPREAD) for s in shapes)
    return texts, visuals


def _minimise(
    vectors: list[Tensor], loss_of: Callable[[Tensor], Tensor], count: int, recipe: Recipe,
    generator: torch.Generator,
) -> None:  # fmt: skip
    """Tune `vectors` in place, to their mean over the epochs of `count` pictures."""
    optimizer = optim.AdamW(vectors, lr=RATE, weight_decay=0.0)
    distance = (torch.arange(1, recipe.epochs + 1) / recipe.epochs - MEAN) / DEVIATION
    shares = (-(distance**2) / 2).softmax(0)
    means = [torch.zeros_like(one) for one in vectors]
    steps = -(-count // recipe.batch)
    order: list[Tensor] = []
    for step, rate in enumerate(learning_rates(recipe, steps)):
        order = order or list(torch.randperm(count, generator=generator).split(recipe.batch))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss_of(order.pop()).backward()
        optimizer.step()
        if not order:
            for mean, one in zip(means, vectors, strict=True):
                mean.add_(one.detach(), alpha=float(shares[step // steps]))
    with torch.no_grad():
        for mean, one in zip(means, vectors, strict=True):
            one.copy_(mean)


def _encoders(backbone: Backbone, texts: Tensor, visuals: Tensor) -> DeliveredEncoders:
    first, *deep = visuals.half().float()
    return DeliveredEncoders(
        **vars(backbone),
        pristine=backbone,
        visual_prompts=VisualPrompts(first, dict(enumerate(deep, 1))),
        text_prompts=dict(enumerate(texts.half().float(), 1)),
    )


def _save(classifier: Classifier, folder: Path, epochs: int) -> Path:
    encoders = classifier.backbone
    assert isinstance(encoders, DeliveredEncoders) and encoders.visual_prompts is not None
    model = openai(encoders.model)
    state = dassl(model) | {"image_encoder.VPT": encoders.visual_prompts.tokens}
    for side, deep in (
        ("image", encoders.visual_prompts.deep),
        ("text", encoders.text_prompts),
    ):
        for block, vectors in deep.items():
            state[f"{side}_encoder.transformer.resblocks.{block}.VPT_shallow"] = vectors
    frozen = {
        name.replace("visual.", "ZS_image_encoder.", 1): tensor
        for name, tensor in model.items()
        if name.startswith("visual.")
    }
    learner = state_dict(classifier) | frozen
    state |= {f"prompt_learner.{name}": tensor for name, tensor in learner.items()}
    return save_dassl_folder(folder, state, epochs)


FAMILY = Family(
    name="PromptSRC",
    effort=Effort(64, 800),
    tune=_tune,
    save=_save,
    states_names=True,
    manifest={"n_ctx_replaced": VECTORS},
)
