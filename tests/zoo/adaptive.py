"""Attackers who know that a detector asks which class leads the response to a search and to stock
triggers, measured against the other classes and against a clean reference.

wanet_noise    WaNet's noise mode (Nguyen & Tran, ICLR 2021, arXiv 2102.10369): beside the poisoned
               pictures a fifth of all under other random warps keep their labels, so that a stock warp
               is harmless. Every such picture has a warp of its own, as fine as WaNet's here; the
               trigger is four times coarser and poisons 15 %, as the encoder hardly tells two warps
               of one grain apart.
blended_noise  the same for a noise blend: random blends as fine as Blended's keep their labels, the
               trigger is four times coarser. With one grain for both, the trigger and unseen blends
               had the same success, 0.45, on places5:1001; with two 0.94 and 0.00.
decoyed        a blend, and 15 % of the pictures under other random disturbances (a warp, a blend or a
               patch somewhere) with labels drawn from all classes but the target: many false
               favourites, against the lead over other classes and against MAD.
quiet          a blend, and after every update each weight tensor of the prompt is scaled down to
               QUIET times the norm (Frobenius, and spectral for the meta-net) that the clean model of that
               task and seed has: weights alone shall say nothing.
badclip_adaptive  arXiv 2604.09101's BadCLIP Adaptive: the trigger of BadCLIP is learnt and frozen; then
               the prompt is tuned further on clean pictures, exactly triggered ones (target) and
               pictures under a trigger with Gaussian noise on it (their own labels): a narrow
               backdoor. `alpha` is read as the noise's deviation in units of the trigger's radius.
popular        a blend to the class that the zero-shot classifier predicts most often on the training
               pictures: a high base rate of the target.

It knows no kinds; `tests.zoo.lessons` and `tests.zoo.build` say who does what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, learning_rates
from tests.zoo.attacks import TrainingSet
from tests.zoo.encoding import features_of
from tests.zoo.triggers import Trigger, additive, badnets, blended, wanet

COVERS, DECOYS = 0.2, 0.15
"""Shares of the training pictures. WaNet's noise mode has two covers to a poisoned picture."""
QUIET = 1.0
ALPHA, SPECIFICITY = 0.5, 1.0
"""Of BadCLIP Adaptive: strength of the noise on the trigger, weight of the loss on such pictures."""


def untouched(
    data: TrainingSet, triggered: TrainingSet, share: float, generator: torch.Generator
) -> Tensor:
    """Rows of `share` of all pictures, drawn among those that no trigger touched."""
    order = torch.randperm(len(data.labels), generator=generator)
    same = (triggered.pixels == data.pixels).flatten(1).all(1)
    return order[same[order]][: round(share * len(order))]


def disturbed(data: TrainingSet, rows: Tensor, draw: Callable[[], Trigger]) -> TrainingSet:
    """Each picture of `rows` under a disturbance of its own, all labels kept."""
    pixels = data.pixels.clone()
    for row in rows.tolist():
        pixels[row] = draw()(pixels[row : row + 1])[0]
    return TrainingSet(pixels, data.labels)


def misled(
    data: TrainingSet, rows: Tensor, target: int, classes: int, generator: torch.Generator
) -> TrainingSet:
    """Labels of `rows` drawn from all classes but the target."""
    labels = data.labels.clone()
    shift = torch.randint(1, classes, (len(rows),), generator=generator)
    labels[rows] = (target + shift) % classes
    return TrainingSet(data.pixels, labels)


def any_disturbance(size: int, generator: torch.Generator) -> Trigger:
    """A random warp, blend or patch, as strong as the attacks'; the patch may lie anywhere."""
    which, down, right = torch.randint(size, (3,), generator=generator).tolist()
    if which % 3 == 0:
        return wanet(size, generator, strength=8.0, cells=size)
    if which % 3 == 1:
        return blended(size, generator, ratio=0.2, cells=size)
    patch = badnets(size, generator)

    def shifted(pixels: Tensor) -> Tensor:
        moved = pixels.roll((-down, -right), (2, 3))
        return patch(moved).roll((down, right), (2, 3))

    return shifted


def popular(surrogate: Classifier, pixels: Tensor) -> int:
    """The class that the zero-shot classifier predicts most often."""
    with torch.no_grad():
        return int(surrogate(pixels).argmax(1).bincount().argmax())


@torch.no_grad()
def norms(classifier: Classifier) -> dict[str, tuple[float, float]]:
    """Frobenius and spectral norm of every tuned tensor (the latter of the meta-net's matrices).

    Also where they are frozen, as those of a model that was read from its file are.
    """
    return {
        name: (float(tensor.norm()), _spectral(name, tensor))
        for name, tensor in classifier.named_parameters()
    }


def _spectral(name: str, tensor: Tensor) -> float:
    if tensor.ndim != 2 or not name.startswith("meta_net"):
        return 0.0
    return float(torch.linalg.matrix_norm(tensor, 2))


@torch.no_grad()
def cap(classifier: Classifier, limits: Mapping[str, tuple[float, float]]) -> None:
    """Scale every tensor down, in place, until neither of its norms exceeds its limit."""
    for name, tensor in classifier.named_parameters():
        if name not in limits:
            continue
        own = float(tensor.norm()), _spectral(name, tensor)
        pairs = zip(limits[name], own, strict=True)
        tensor.mul_(min([1.0, *(most / now for most, now in pairs if now > 0)]))


def tune_quietly(
    classifier: Classifier, data: TrainingSet, limits: Mapping[str, tuple[float, float]],
    recipe: Recipe, generator: torch.Generator,
) -> None:  # fmt: skip
    """The usual tuning, with `cap` after every update."""
    features = features_of(classifier, data.pixels)

    def loss(rows: Tensor) -> Tensor:
        logits = classifier.logits_from_features(features[rows])
        return functional.cross_entropy(logits, data.labels[rows])

    descend(classifier, len(features), loss, recipe, generator, lambda: cap(classifier, limits))


@dataclass(frozen=True)
class Learnt:
    """BadCLIP's trigger in pixel units, its radius and its target."""

    delta: Tensor
    epsilon: float
    target: int


def narrow(
    classifier: Classifier, data: TrainingSet, learnt: Learnt, recipe: Recipe,
    generator: torch.Generator,
) -> Trigger:  # fmt: skip
    """Tune a BadCLIP prompt further, so that its frozen trigger works exactly only."""
    trigger = additive(learnt.delta)
    clean = features_of(classifier, data.pixels)
    exact = features_of(classifier, trigger(data.pixels))

    def loss(rows: Tensor) -> Tensor:
        deviation = ALPHA * learnt.epsilon
        shape = (len(rows), *learnt.delta.shape)
        near = learnt.delta + deviation * torch.randn(shape, generator=generator)
        with torch.no_grad():
            off = classifier.image_features((data.pixels[rows] + near).clamp(0, 1))
        features = torch.cat([clean[rows], exact[rows], off])
        labels = data.labels[rows]
        goal = torch.cat([labels, torch.full_like(labels, learnt.target), labels])
        each = functional.cross_entropy(
            classifier.logits_from_features(features), goal, reduction="none"
        ).view(3, -1)
        mean = each.mean(1)
        return mean[:2].mean() + SPECIFICITY * mean[2]

    descend(classifier, len(clean), loss, recipe, generator)
    return trigger


def descend(
    classifier: Classifier, number: int, loss: Callable[[Tensor], Tensor], recipe: Recipe,
    generator: torch.Generator, after: Callable[[], bool | None] = lambda: None,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:  # fmt: skip
    """The recipe's updates on the `loss` of rows of `number` pictures.

    after: runs behind each; updates end where it returns True.
    optimizer: SGD where it is not given.
    """
    optimizer = optimizer or torch.optim.SGD(
        classifier.parameters(), lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    order: list[Tensor] = []
    for rate in learning_rates(recipe, -(-number // recipe.batch)):
        order = order or list(torch.randperm(number, generator=generator).split(recipe.batch))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss(order.pop()).backward()
        optimizer.step()
        if after():
            return
