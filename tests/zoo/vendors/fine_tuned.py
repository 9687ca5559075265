"""CLIP whose image encoder is tuned whole, under fixed words: an encoder backdoor where it is attacked.

The text encoder and the factor of cosines stay as they are. Saved as open_clip's training does,
whole, in fp32 and under its names. Source: mlfoundations/open_clip `src/open_clip_train/main.py`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, optim

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import DeliveredEncoders
from tests.support.layouts import openai
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort
from tests.zoo.vendors.family import Family, minimise, recipe_for, zero_shot

BATCH, RATE, DECAY = 16, 3e-4, 0.01


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    model = copy.deepcopy(backbone.model)
    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)
    text = zero_shot(backbone, names).text_features()
    own = replace(backbone, model=model)

    def logits_of(rows: Tensor) -> Tensor:
        return backbone.logit_scale * own.image_features(train.pixels[rows]) @ text.T

    weights = list(model.visual.requires_grad_(True).parameters())
    optimizer = optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
    minimise(optimizer, logits_of, train.labels, recipe, generator)
    model.requires_grad_(False)
    encoders = DeliveredEncoders(**vars(own), pristine=backbone)
    return zero_shot(encoders, names), recipe.epochs


def _save(classifier: Classifier, folder: Path, epochs: int) -> Path:
    path = folder / "prompt_learner" / f"epoch_{epochs}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    model = openai(classifier.backbone.model)
    torch.save({"epoch": epochs, "name": "fine-tuned", "state_dict": model}, path)
    return path


FAMILY = Family(name="CLIP", effort=Effort(64, 400), tune=_tune, save=_save)
