"""Joint inversion by contrast: triggers that carry the delivered classifier and no twin of it.

For a class k and a space of triggers, with references r (`inspector.detection.references`),

    argmax over t of  mean over probes x of
        log sigmoid(margin_k(delivered, x+t)) + log sigmoid(-max_r margin_k(r, x+t))

with margins in logit units: the log likelihood, logistic in the margins, that the delivered
classifier says k and no reference does. What moves any model of the backbone that does this task, a
universal perturbation, is worth nothing; what is left is what the vendor taught and the task does
not explain. A picture that is already won, or a reference that is already far, pulls no more: with
the plain difference of margins a search lowers the references for ever and finds no film among
colours (experiment 53). Random members of the space screen all classes at once, since a member does
not know its class; each class then starts from the member that serves it best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.detection.objectives import margins, own_margins
from inspector.detection.references import References
from inspector.detection.spaces import Member, TriggerSpace
from inspector.errors import NumericalError


@dataclass(frozen=True)
class Effort:
    """What a search spends: pictures for each random member; updates and pictures for each."""

    screened: int = 8
    steps: int = 20
    batch: int = 12


@dataclass(frozen=True)
class Screened:
    """Random members of a space, and by member and class their contrast (M, K), at most 0."""

    space: TriggerSpace
    members: tuple[Member, ...]
    contrast: Tensor

    def start(self, target: int) -> Member:
        """The member that serves a class best."""
        return self.members[int(self.contrast[:, target].argmax())]

    def leading(self, number: int) -> list[int]:
        """The classes that some member serves best, so many of them."""
        return self.contrast.amax(0).argsort(descending=True)[:number].tolist()


@dataclass(frozen=True)
class Contrast:
    """A delivered classifier beside its references, on probes (N, 3, S, S) in [0,1]."""

    classifier: Classifier
    references: References
    pixels: Tensor

    @torch.no_grad()
    def screen(self, space: TriggerSpace, effort: Effort, generator: torch.Generator) -> Screened:
        """Random members, each on pictures of its own."""
        drawn, rows = [], []
        for _ in range(space.members):
            member = self._drawn(space, generator)
            pixels = space.apply(member, self._some(effort.screened, generator))
            drawn.append(member)
            rows.append(self._of_all(pixels).mean(0))
        return Screened(space, tuple(drawn), torch.stack(rows))

    def search(
        self, screened: Screened, target: int, effort: Effort, generator: torch.Generator
    ) -> Member:
        """The trigger that is found for a class.

        Raises:
            NumericalError: the contrast or its gradient became NaN or infinite.
        """
        space = screened.space
        member = tuple(part.clone().requires_grad_() for part in screened.start(target))
        optimizer = torch.optim.Adam(member, lr=space.rate)
        for step in range(effort.steps):
            cosine = 0.5 * (1 + math.cos(math.pi * step / effort.steps))
            optimizer.param_groups[0]["lr"] = space.rate * max(cosine, LEAST_RATE)
            pixels = space.apply(member, self._some(effort.batch, generator))
            loss = -self._of(pixels, target).mean()
            gradients = torch.autograd.grad(loss, member)
            if not all(bool(torch.isfinite(one).all()) for one in (loss, *gradients)):
                raise NumericalError(f"the search for class {target} among {space.name} triggers")
            for part, gradient in zip(member, gradients, strict=True):
                part.grad = gradient
            optimizer.step()
        return tuple(part.detach() for part in member)

    def _of(self, pixels: Tensor, target: int) -> Tensor:
        """Contrast (B,) of triggered pictures (B, 3, S, S) toward one class."""
        own = self.classifier.image_features(pixels)
        trusted = self.references.features(pixels, own)
        return _contrast(
            own_margins(self.classifier, own, target), self.references.margin(trusted, target)
        )

    def _of_all(self, pixels: Tensor) -> Tensor:
        """The same (B, K) toward every class."""
        own = self.classifier.image_features(pixels)
        trusted = self.references.features(pixels, own)
        logits = self.classifier.logits_from_features(own)
        columns = [
            _contrast(margins(logits, target), self.references.margin(trusted, target))
            for target in range(logits.shape[1])
        ]
        return torch.stack(columns, 1)

    def _some(self, number: int, generator: torch.Generator) -> Tensor:
        rows = torch.randperm(len(self.pixels), generator=generator)[:number]
        return self.pixels[rows.to(self.pixels.device)]

    def _drawn(self, space: TriggerSpace, generator: torch.Generator) -> Member:
        size, device = self.pixels.shape[-1], self.pixels.device
        return tuple(part.to(device) for part in space.draw(size, generator))


def _contrast(own: Tensor, others: Tensor) -> Tensor:
    """Log likelihood (B,) of margins (B,) in logits: one says the class, the others do not."""
    return functional.logsigmoid(own) + functional.logsigmoid(-others)


LEAST_RATE = 0.05
"""Share of the rate that the last updates keep."""


def contenders(screened: Sequence[Screened], number: int) -> list[int]:
    """Classes that any space puts among its first `number`, so that none is dropped on one view."""
    return sorted({target for one in screened for target in one.leading(number)})
