"""Invert one target: an additive universal perturbation in an L-infinity ball that maximises margin.

The published objective ("joint": CLIP-Inspector, arXiv 2604.09101) is the margin between the
target's logit and its strongest rival, unclamped, minimised by Adam at rate 0.1 in batches of 32
for one epoch. Universal perturbations of the image encoder satisfy it on clean models too. The
objective "prompt" is ours, for instance-conditioned prompts: image features stay clean and only the
prompt reads the triggered image, so what is found is what the prompt itself was taught. So is
"difference", for everything else: the margin minus that of zero-shot prompts on the trusted backbone
under the same perturbation, so what moves any model of that backbone is not worth finding.

Joint, conditioned: the rival of each image is found without gradient over all classes; only the
prompts of target and rival are encoded again with gradient. The margin's gradient involves no other
class, so this is exact and costs n forward and 2 forward-backward prompts per image instead of n of
both. Prompt: every triggered image's prompts are met by all anchors (`crossed_logits`), so that a
few triggered images suffice; only classes that anchors are near to stand as rivals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.zero_shot import ZeroShot
from inspector.errors import NumericalError
from inspector.profiles import Objective

ANCHORS = 64
"""Untriggered probes that are classified under the prompts of triggered ones."""
RIVALS = 4
"""Classes beside the target whose prompts are encoded with gradient, the anchors' nearest."""


@dataclass(frozen=True)
class SearchConfig:
    """What a search spends.

    epsilon: radius in pixel units of [0,1].
    epochs: passes over the optimisation pool, or over `images` of it, drawn for each target.
    judged: held-out probes that triggers are put on; None: all, of these and of `images`.
    turns: stock triggers are divided among so many sweeps.
    covers: whether the first sweep asks those that cover a little of the picture.
    raced: classes that are searched, those that stock triggers put first; None: all.
    """

    epsilon: float
    epochs: int = 1
    batch: int = 32
    learning_rate: float = 0.1
    objective: Objective = "joint"
    images: int | None = None
    judged: int | None = None
    turns: int = 1
    covers: bool = False
    raced: int | None = None


def margins(logits: Tensor, target: int | Tensor) -> Tensor:
    """z_target - max over rivals, (B,), in logit units; for one class the logit itself."""
    index = torch.as_tensor(target, device=logits.device).expand(len(logits))[:, None]
    own = logits.gather(1, index)[:, 0]
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, index, float("-inf")).amax(1)


@dataclass(frozen=True)
class Views:
    """Probes (N, 3, S, S) in [0,1], untriggered image features (A, D) and logits (A, K) of the first A.

    Only the objective "prompt" needs any, else A is 0; `zero_shot` only "difference".
    """

    pixels: Tensor
    features: Tensor
    logits: Tensor
    zero_shot: ZeroShot | None = None

    @cached_property
    def nearest(self) -> Tensor:
        """Classes, those first that the A are most likely of."""
        return self.logits.softmax(1).mean(0).argsort(descending=True)


def views(classifier: Classifier, pixels: Tensor, objective: Objective) -> Views:
    """What a search for `objective` needs to know of the untriggered probes, encoded once."""
    if objective != "prompt":
        features = pixels.new_empty(0, classifier.backbone.embed_dim)
        logits = pixels.new_empty(0, len(classifier.classnames))
        return Views(
            pixels, features, logits, ZeroShot.of(classifier) if objective == "difference" else None
        )
    features = encoded(classifier, pixels[:ANCHORS])
    with torch.no_grad():
        return Views(pixels, features, classifier.logits_from_features(features))


def invert(
    classifier: Classifier,
    probes: Views,
    target: int,
    config: SearchConfig,
    generator: torch.Generator,
) -> Tensor:
    """The perturbation (3, S, S) found for `target`.

    Raises:
        NumericalError: the loss or its gradient became NaN or infinite.
    """
    epsilon, pixels = config.epsilon, probes.pixels
    start = torch.rand(pixels.shape[1:], generator=generator) * 2 - 1
    delta = (start * epsilon).to(pixels.device).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=config.learning_rate)
    for rows in _batches(len(pixels), config, generator):
        triggered = (pixels[rows.to(pixels.device)] + delta).clamp(0, 1)
        loss = -_gained(classifier, probes, triggered, target, config.objective)
        (delta.grad,) = torch.autograd.grad(loss, delta)
        if not bool(torch.isfinite(delta.grad).all() & torch.isfinite(loss)):
            raise NumericalError(f"inversion of class {target}")
        optimizer.step()
        with torch.no_grad():
            delta.clamp_(-epsilon, epsilon)
    return delta.detach()


def _gained(
    classifier: Classifier, probes: Views, triggered: Tensor, target: int, objective: Objective
) -> Tensor:
    """What is maximised, on pictures (B, 3, S, S) with the trigger."""
    seen = classifier.image_features(triggered)
    if objective == "prompt":
        return crossed_margin(classifier, probes, seen, target)
    gained = seen_margins(classifier, seen, target)
    if probes.zero_shot is not None:
        gained = gained - margins(probes.zero_shot.logits(triggered, seen), target)
    return gained.mean()


def _batches(number: int, config: SearchConfig, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(config.epochs):
        yield from torch.randperm(number, generator=generator)[: config.images].split(config.batch)


def seen_margins(classifier: Classifier, seen: Tensor, target: int) -> Tensor:
    """Margins (B,) of image features (B, D), whose prompts, if conditioned, read the same; with their
    exact gradient."""
    if not classifier.is_instance_conditioned or len(classifier.classnames) <= 2:
        return margins(classifier.logits_from_features(seen), target)
    with torch.no_grad():
        logits = classifier.logits_from_features(seen)
        logits[:, target] = float("-inf")
        rival = logits.argmax(1)
    pair = torch.stack([torch.full_like(rival, target), rival], 1)  # (B, 2)
    own, other = classifier.logits_from_features(seen, pair).unbind(1)
    return own - other


def crossed_margin(classifier: Classifier, probes: Views, seen: Tensor, target: int) -> Tensor:
    """Mean margin of the anchors under prompts that read `seen` (B, D), against near rivals."""
    rivals = probes.nearest[probes.nearest != target][:RIVALS]
    classes = torch.cat([rivals.new_tensor([target]), rivals])
    text = classifier.text_features(seen, classes)
    return margins(classifier.crossed_logits(probes.features, text).flatten(0, 1), 0).mean()
