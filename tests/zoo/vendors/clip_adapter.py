"""CLIP-Adapter: a bottleneck behind the frozen image encoder, fixed words, image features encoded once.

Source: gaopengcuhk/CLIP-Adapter `clip_adapter.py`: a quarter of the features wide, ReLU behind both
layers, no biases, a fifth of its output mixed into the features that it is given.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, optim
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import Adapter, DeliveredEncoders
from tests.support.checkpoints import save_dassl_folder
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort
from tests.zoo.vendors.family import Family, minimise, recipe_for, zero_shot

RATIO, REDUCTION = 0.2, 4
BATCH, RATE = 8, 0.005


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    size = backbone.embed_dim
    adapter = Adapter(
        _fresh(size // REDUCTION, size, generator),
        _fresh(size, size // REDUCTION, generator),
        RATIO,
    )
    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)
    text = zero_shot(backbone, names).text_features()
    with torch.no_grad():
        raw = backbone.raw_image_features(train.pixels)

    def logits_of(rows: Tensor) -> Tensor:
        return backbone.logit_scale * functional.normalize(adapter(raw[rows]), dim=-1) @ text.T

    optimizer = optim.SGD(
        [adapter.first, adapter.second],
        lr=RATE,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    minimise(optimizer, logits_of, train.labels, recipe, generator)
    tuned = Adapter(adapter.first.detach(), adapter.second.detach(), RATIO)
    encoders = DeliveredEncoders(**vars(backbone), pristine=backbone, on_image=tuned)
    return zero_shot(encoders, names), recipe.epochs


def _fresh(out: int, into: int, generator: torch.Generator) -> Tensor:
    """A layer as torch initialises it."""
    bound = 1 / math.sqrt(into)
    return ((torch.rand(out, into, generator=generator) * 2 - 1) * bound).requires_grad_()


def _save(classifier: Classifier, folder: Path, epochs: int) -> Path:
    encoders = classifier.backbone
    assert isinstance(encoders, DeliveredEncoders) and isinstance(encoders.on_image, Adapter)
    state = {"fc.0.weight": encoders.on_image.first, "fc.2.weight": encoders.on_image.second}
    return save_dassl_folder(folder, state, epochs)


FAMILY = Family(
    name="CLIP-Adapter",
    effort=Effort(64, 1500),
    tune=_tune,
    save=_save,
    manifest={"adapter_ratio": RATIO},
)
