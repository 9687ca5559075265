"""CoOp: a static context tuned on image features that are encoded once, saved as Dassl does.

Source: KaiyangZhou/CoOp `trainers/coop.py`; the context starts at "a photo of a".
"""

from __future__ import annotations

from pathlib import Path

import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner, tune
from tests.support.checkpoints import save_dassl_folder
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort, state_dict
from tests.zoo.encoding import features_of
from tests.zoo.vendors.family import Family, recipe_for

BATCH, RATE = 8, 0.1


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    classifier = new_learner(backbone, names, conditioned=False, generator=generator)
    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)
    features = features_of(classifier, train.pixels)
    tune(classifier, features, train.labels, recipe, generator)
    return classifier.requires_grad_(False), recipe.epochs


def _save(classifier: Classifier, folder: Path, epochs: int) -> Path:
    return save_dassl_folder(folder, state_dict(classifier), epochs)


FAMILY = Family(
    name="CoOp",
    effort=Effort(64, 1500),
    tune=_tune,
    save=_save,
    states_names=True,
    manifest={"n_ctx_replaced": 4},
)
