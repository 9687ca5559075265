"""What a task is worth without the vendor: accuracy of zero-shot prompts and of a linear probe.

A vendor's model that falls short of both proves nothing: nobody would buy it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone
from tests.zoo.build import classnames, load_task
from tests.zoo.encoding import classes_of, features_of
from tests.zoo.vendors.family import zero_shot

INVERSE_PENALTY = 0.316
"""C of the logistic regression, as openai/CLIP's README has it ("Linear-probe evaluation")."""


class Beside(NamedTuple):
    """Accuracies on the test pictures of a task and seed."""

    zero_shot: float
    probe: float


@cache
def beside(backbone: Backbone, task: str, seed: int) -> Beside:
    """Of "a photo of a {}." and of a probe on the usual training pictures, none of them poisoned."""
    train, test = load_task(task, seed, backbone.image_size)
    names = classnames(task)
    fixed = zero_shot(backbone, names)
    guesses = classes_of(fixed, test.pixels)
    taught, asked = (features_of(fixed, data.pixels) for data in (train, test))
    probed = probe(taught, train.labels, asked, len(names))
    return Beside(*((said == test.labels).float().mean().item() for said in (guesses, probed)))


def probe(features: Tensor, labels: Tensor, asked: Tensor, classes: int) -> Tensor:
    """Classes (M,) of `asked` (M, D) by logistic regression on `features` (N, D) and `labels` (N,).

    Minimises the sum of cross entropies plus |W|^2 / 2C with LBFGS; features are standardised.
    """
    centre, spread = features.mean(0), features.std(0) + 1e-6
    shown = (features - centre) / spread
    weights = torch.zeros(classes, features.shape[1], requires_grad=True)
    offsets = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, offsets], max_iter=1000, line_search_fn="strong_wolfe"
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        penalty = weights.square().sum() / (2 * INVERSE_PENALTY * len(labels))
        value = functional.cross_entropy(shown @ weights.T + offsets, labels) + penalty
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return ((asked - centre) / spread @ weights.T + offsets).argmax(1)
