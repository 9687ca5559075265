"""VPT: vectors among the patch tokens of every block of the frozen image encoder, fixed words.

Tuned through the encoder, so that every update costs a pass forward and back. Source:
muzairkhattak/multimodal-prompt-learning `trainers/vpt.py`, which rounds its vectors to half precision
and saves them with both encoders.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, optim

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import DeliveredEncoders, VisualPrompts
from tests.support.checkpoints import save_dassl_folder
from tests.support.layouts import dassl, openai
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort
from tests.zoo.vendors.family import Family, minimise, recipe_for, zero_shot

VECTORS, SPREAD = 8, 0.02
"""Vectors of each block, and their standard deviation at first."""
BATCH, RATE = 8, 0.01


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    visual = backbone.model.visual
    shape = len(visual.transformer.resblocks), VECTORS, len(visual.class_embedding)
    vectors = (torch.randn(shape, generator=generator) * SPREAD).requires_grad_()
    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)
    text = zero_shot(backbone, names).text_features()
    encoders = DeliveredEncoders(**vars(backbone), pristine=backbone)

    def logits_of(rows: Tensor) -> Tensor:
        prompted = replace(encoders, visual_prompts=_prompts(vectors))
        return backbone.logit_scale * prompted.image_features(train.pixels[rows]) @ text.T

    optimizer = optim.AdamW([vectors], lr=RATE, weight_decay=0.0)
    minimise(optimizer, logits_of, train.labels, recipe, generator)
    tuned = _prompts(vectors.detach().half().float())
    return zero_shot(replace(encoders, visual_prompts=tuned), names), recipe.epochs


def _prompts(vectors: Tensor) -> VisualPrompts:
    return VisualPrompts(vectors[0], dict(enumerate(vectors[1:], 1)))


def _save(classifier: Classifier, folder: Path, epochs: int) -> Path:
    encoders = classifier.backbone
    assert isinstance(encoders, DeliveredEncoders) and encoders.visual_prompts is not None
    prompts = encoders.visual_prompts
    state = dassl(openai(encoders.model)) | {"image_encoder.VPT": prompts.tokens}
    for block, vectors in prompts.deep.items():
        state[f"image_encoder.transformer.resblocks.{block}.VPT_shallow"] = vectors
    return save_dassl_folder(folder, state, epochs)


FAMILY = Family(name="VPT", effort=Effort(64, 800), tune=_tune, save=_save)
