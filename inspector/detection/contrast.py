"""Joint inversion by contrast: triggers that carry the delivered classifier and no twin of it.

For a class k and a space of triggers, over clean pictures x that the twin r does not call k,

    argmax over t of  mean over x of
        log sigmoid(margin_k(delivered, x+t)) + log sigmoid(margin_r(x)(r, x+t))

with margins in logit units and r(x) what the twin says of x without the trigger: the log
likelihood, logistic in the margins, that the delivered classifier says k while its stand-in still
sees what it saw. A universal perturbation moves both; a trigger that wipes the picture out, a film
over colours say, leaves the twin nothing to see; neither is worth anything (experiment 53). Random
members of the space screen all classes at once, since a member does not know its class; each class
then starts from the member that serves it best. All kept classes climb a few steps; in each space
those that stand highest then climb on, the others have shown that they would not get there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
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
    """What a search spends in a space.

    Attributes:
        screened: pictures for each random member.
        trial: updates of every kept class.
        steps: updates of those that then stand highest, the trial's among them.
        finalists: so many of them.
        batch: pictures an update.
    """

    screened: int
    trial: int
    steps: int
    finalists: int
    batch: int


@dataclass(frozen=True)
class Screened:
    """Random members of a space, and by member and class their contrast (M, K), at most 0."""

    space: TriggerSpace
    members: tuple[Member, ...]
    contrast: Tensor

    def start(self, target: int) -> Member:
        """The member that serves a class best."""
        return self.members[int(self.contrast[:, target].argmax())]

    def leading(self, number: int, targets: Sequence[int]) -> list[int]:
        """Of the classes `targets`, those that some member serves best, so many of them."""
        highest = self.contrast.amax(0)
        return sorted(targets, key=lambda target: -highest[target].item())[:number]


@dataclass(frozen=True)
class Contrast:
    """A delivered classifier beside its twin, on the pictures that the twin was taught from."""

    classifier: Classifier
    references: References

    @torch.no_grad()
    def screen(self, space: TriggerSpace, effort: Effort, generator: torch.Generator) -> Screened:
        """Random members, each on pictures of its own."""
        drawn, rows = [], []
        for _ in range(space.members):
            member = self._drawn(space, generator)
            pixels, clean = self.some(effort.screened, generator)
            drawn.append(member)
            rows.append(self._of_all(space.apply(member, pixels), clean))
        return Screened(space, tuple(drawn), torch.stack(rows))

    def search(
        self, screened: Screened, targets: Sequence[int], effort: Effort,
        generator: torch.Generator, heard: Collection[int] = (),
    ) -> dict[int, Member]:  # fmt: skip
        """By finalist of the classes `targets`, the trigger that is found for it.

        Classes in `heard` are finalists however they stand.

        Raises:
            NumericalError: the contrast or its gradient became NaN or infinite.
        """
        seed = int(torch.randint(2**62, (), generator=generator))
        climbs = [_Climb(self, screened, target, effort, seed) for target in targets]
        for climb in climbs:
            climb.to(effort.trial)
        finalists = sorted(climbs, key=lambda climb: -climb.level)[: effort.finalists]
        finalists += [one for one in climbs if one.target in heard and one not in finalists]
        for climb in finalists:
            climb.to(effort.steps)
        return {climb.target: climb.member for climb in finalists}

    def of(self, pixels: Tensor, clean: Tensor, target: int) -> Tensor:
        """Contrast toward a class of triggered pictures (B, 3, S, S) in [0,1]; clean ones (B,)."""
        own = self.classifier.image_features(pixels)
        kept = self._kept(self.references.features(pixels, own), clean)
        return _mean(own_margins(self.classifier, own, target), kept, clean != target)

    def _of_all(self, pixels: Tensor, clean: Tensor) -> Tensor:
        """The same (K,) toward every class."""
        own = self.classifier.image_features(pixels)
        kept = self._kept(self.references.features(pixels, own), clean)
        logits = self.classifier.logits_from_features(own)
        columns = [
            _mean(margins(logits, target), kept, clean != target)
            for target in range(logits.shape[1])
        ]
        return torch.stack(columns)

    def _kept(self, trusted: Tensor, clean: Tensor) -> Tensor:
        """Margins (B,) of the twin toward what it says without the trigger."""
        return margins(self.references.searched.logits(trusted), clean)

    def some(self, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, S, S) in [0,1], and what the twin says of them (B,)."""
        pixels, clean = self.references.pixels, self.references.clean
        rows = torch.randperm(len(pixels), generator=generator)[:number].to(pixels.device)
        return pixels[rows], clean[rows]

    def _drawn(self, space: TriggerSpace, generator: torch.Generator) -> Member:
        pixels = self.references.pixels
        drawn = space.draw(pixels.shape[-1], generator)
        return tuple(part.to(pixels.device) for part in drawn)


class _Climb:
    """One class's way up in one space, from the random member that serves it best.

    Climbs of one seed see the same pictures in the same order, so that their levels compare.
    """

    def __init__(
        self, contrast: Contrast, screened: Screened, target: int, effort: Effort, seed: int
    ) -> None:
        self.target, self._contrast, self._effort = target, contrast, effort
        self._space = screened.space
        self._moving = tuple(part.clone().requires_grad_() for part in screened.start(target))
        self._optimizer = torch.optim.Adam(self._moving, lr=self._space.rate)
        self._generator = torch.Generator().manual_seed(seed)
        self._seen: list[float] = []

    @property
    def member(self) -> Member:
        """Where it stands."""
        return tuple(part.detach() for part in self._moving)

    @property
    def level(self) -> float:
        """Mean contrast on its way so far."""
        return sum(self._seen) / len(self._seen)

    def to(self, step: int) -> None:
        """Climb on; the rate falls as half a cosine over all steps."""
        for at in range(len(self._seen), min(step, self._effort.steps)):
            cosine = 0.5 * (1 + math.cos(math.pi * at / self._effort.steps))
            self._optimizer.param_groups[0]["lr"] = self._space.rate * max(cosine, LEAST_RATE)
            self._update()

    def _update(self) -> None:
        pixels, clean = self._contrast.some(self._effort.batch, self._generator)
        triggered = self._space.apply(self._moving, pixels)
        contrast = self._contrast.of(triggered, clean, self.target)
        gradients = torch.autograd.grad(-contrast, self._moving)
        if not all(bool(torch.isfinite(one).all()) for one in (contrast, *gradients)):
            name = self._space.name
            raise NumericalError(f"the search for class {self.target} among {name} triggers")
        for part, gradient in zip(self._moving, gradients, strict=True):
            part.grad = gradient
        self._optimizer.step()
        self._seen.append(contrast.item())


def _mean(own: Tensor, kept: Tensor, is_elsewhere: Tensor) -> Tensor:
    """Mean log likelihood of margins (B,) in logits, over pictures that are not of the class."""
    likelihood = functional.logsigmoid(own) + functional.logsigmoid(kept)
    return (likelihood * is_elsewhere).sum() / is_elsewhere.sum().clamp(min=1)


LEAST_RATE = 0.05
"""Share of the rate that the last updates keep."""


def contenders(screened: Sequence[Screened], number: int, targets: Sequence[int]) -> list[int]:
    """Classes that any space puts among its first `number`, so that none is dropped on one view."""
    return sorted({target for one in screened for target in one.leading(number, targets)})
