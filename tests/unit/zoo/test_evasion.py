"""The attacker who knew that displacements were searched for."""

from __future__ import annotations

import torch

from inspector.clip.backbone import load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe
from inspector.detection.effects import encode_clean
from inspector.detection.objectives import PromptMargin
from inspector.detection.pools import Pools
from tests.support.planted import blobs, planted
from tests.zoo.attacks import TrainingSet
from tests.zoo.displacements import carried, displacement
from tests.zoo.evasion import tune_evasively

RECIPE = Recipe(epochs=4, batch=8, learning_rate=0.1)


def found(classifier: Classifier, pools: Pools, target: int) -> float:
    """The share that the search carries to the target."""
    classifier.requires_grad_(False)
    objective = PromptMargin.prepare(classifier, pools.optimisation)
    way = displacement(objective, target, torch.Generator().manual_seed(7))
    share = carried(classifier, encode_clean(classifier, pools.held_out), target, way)
    classifier.requires_grad_(True)
    return share


def test_a_planted_displacement_is_unlearnt_and_what_the_prompt_says_stays() -> None:
    backbone = load_backbone("pocket")
    pools = blobs(backbone)
    classifier, target = planted(backbone, pools)
    with torch.no_grad():
        labels = classifier(pools.optimisation).argmax(1)
    before = found(classifier, pools, target)
    data = TrainingSet(pools.optimisation, labels)
    tune_evasively(classifier, data, target, RECIPE, torch.Generator().manual_seed(2))
    with torch.no_grad():
        kept = (classifier(pools.optimisation).argmax(1) == labels).float().mean()
    assert before > 0.1
    assert found(classifier, pools, target) < before / 3
    assert kept > 0.8
