"""CLIP-LoRA: low-rank changes of queries, keys and values in every block of both encoders, fixed words.

W + alpha / sqrt(r) B A, tuned under cosines times 100, whatever the backbone's own factor. Only A and
B are saved, with their settings. Source: MaxZanella/CLIP-LoRA `loralib/{layers,utils}.py` and `lora.py`;
its dropout is left out, because changes are merged into the weights before a picture goes through.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.utils import parametrize

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import DeliveredEncoders
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort
from tests.zoo.vendors.family import Family, minimise, recipe_for, zero_shot

RANK, ALPHA, SCALE = 2, 1, 100.0
BATCH, RATE, DECAY = 16, 4e-3, 0.01
WEIGHTS = "in_proj_weight"
"""Queries, keys and values of a block, one below the other."""


class LowRank(nn.Module):
    """The changes of one block, W wide: A (3, r, W) as torch initialises a layer, B (3, W, r) zero."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        uniform = torch.rand(3, RANK, width, generator=generator) * 2 - 1
        self.down = nn.Parameter(uniform / math.sqrt(width))
        self.up = nn.Parameter(torch.zeros(3, width, RANK))

    def forward(self, weights: Tensor) -> Tensor:
        return weights + ALPHA / math.sqrt(RANK) * (self.up @ self.down).flatten(0, 1)


@dataclass(frozen=True)
class Merged(DeliveredEncoders):
    """Encoders with the changes in their weights, and the changes by the names of their file."""

    low_rank: Mapping[str, object] = field(default_factory=dict)


def _tune(
    backbone: Backbone, names: list[str], train: TrainingSet, steps: int, generator: torch.Generator
) -> tuple[Classifier, int]:
    model = copy.deepcopy(backbone.model)
    attentions = _attentions(model)
    changes = [LowRank(attention.embed_dim, generator) for attention in attentions]
    for attention, change in zip(attentions, changes, strict=True):
        parametrize.register_parametrization(attention, WEIGHTS, change)
    shown = {**vars(backbone), "model": model, "pristine": backbone, "scale": SCALE}
    # Of a classifier that is not frozen text features are not kept from one update to the next.
    classifier = zero_shot(DeliveredEncoders(**shown), names).requires_grad_(True)

    def logits_of(rows: Tensor) -> Tensor:
        with parametrize.cached():
            logits: Tensor = classifier(train.pixels[rows])
        return logits

    recipe = recipe_for(len(train.labels), steps, BATCH, RATE)
    matrices = [matrix for change in changes for matrix in change.parameters()]
    optimizer = optim.AdamW(matrices, lr=RATE, weight_decay=DECAY)
    minimise(optimizer, logits_of, train.labels, recipe, generator)
    for attention in attentions:
        parametrize.remove_parametrizations(attention, WEIGHTS)
    model.requires_grad_(False)
    low_rank = {f"layer_{i}": _pairs(change) for i, change in enumerate(changes)}
    return zero_shot(Merged(**shown, low_rank=low_rank), names), recipe.epochs


def _attentions(model: Any) -> list[Any]:
    """Of all blocks, the text encoder's first."""
    towers = getattr(model, "text", model), model.visual
    return [block.attn for tower in towers for block in tower.transformer.resblocks]


def _pairs(change: LowRank) -> dict[str, dict[str, Tensor]]:
    return {
        f"{letter}_proj": {"w_lora_A": down.clone(), "w_lora_B": up.clone()}
        for letter, down, up in zip("qkv", change.down.data, change.up.data, strict=True)
    }


def _save(classifier: Classifier, folder: Path, _: int) -> Path:
    encoders = classifier.backbone
    assert isinstance(encoders, Merged)
    path = folder / "prompt_learner" / "lora_weights.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "r": RANK, "alpha": ALPHA, "encoder": "both", "params": ["q", "k", "v"], "position": "all",
    }  # fmt: skip
    torch.save({"weights": encoders.low_rank, "metadata": metadata}, path)
    return path


FAMILY = Family(name="CLIP-LoRA", effort=Effort(64, 400), tune=_tune, save=_save)
