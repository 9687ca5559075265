"""What a trigger does to a delivered classifier and to no twin of it, picture by picture.

Of the held-out probes x that the delivered classifier does not call k, and only of those of which
both twins still say what they said without the trigger,

    excess_k = share that it calls k under the trigger - share that it moves to any other class

both of all probes that it does not call k, in [-1, 1]. A perturbation that moves a twin, too, is no
backdoor. A trigger under which a twin no longer sees what the picture shows makes all pictures one,
and what is said of one picture is chance (a film on a task about colours: an honest model had 0.96
by gains alone, experiment 53). A planted backdoor gathers what it moves in one class, a mere
disturbance strews it: an honest model whose pictures had been disturbed under random labels carried
0.19 to one class and 0.29 to others (experiment 55).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.detection.references import References
from inspector.detection.spaces import Member, TriggerSpace
from inspector.detection.triggers import Laid, Trigger


@dataclass(frozen=True)
class Said:
    """Classes (M,) by the delivered classifier and by both twins."""

    own: Tensor
    twins: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Excess:
    """By class (K,), shares of the held-out probes that are elsewhere without the trigger.

    Attributes:
        carried: to the class, by the delivered classifier alone.
        strayed: to other classes than they were of, by the delivered classifier alone.
        own: carried to the class whatever twins do: its attack success.
        kept: of which both twins still say what they said.
    """

    carried: Tensor
    strayed: Tensor
    own: Tensor
    kept: Tensor

    @property
    def value(self) -> Tensor:
        """The excess (K,), in [-1,1]."""
        return self.carried - self.strayed


@dataclass(frozen=True)
class HeldOut:
    """Held-out probes (M, 3, S, S) in [0,1], and what everybody says of them untriggered."""

    classifier: Classifier
    references: References
    pixels: Tensor
    clean: Said

    @classmethod
    def of(cls, classifier: Classifier, references: References, pixels: Tensor) -> HeldOut:
        """Encode the probes (M, 3, S, S) in [0,1] once."""
        return cls(classifier, references, pixels, _said(classifier, references, pixels))

    def share(self, index: int, number: int) -> HeldOut:
        """Every `number`-th probe, from `index` modulo `number` on."""
        rows = slice(index % number, None, number)
        first, second = self.clean.twins
        clean = Said(self.clean.own[rows], (first[rows], second[rows]))
        return replace(self, pixels=self.pixels[rows], clean=clean)

    def excess(self, space: TriggerSpace, member: Member) -> Excess:
        """What one trigger of a space does to every class."""
        return self.excess_of(Laid(space, member))

    def excess_of(self, trigger: Trigger) -> Excess:
        """What any trigger does to every class."""
        said = _said(self.classifier, self.references, trigger(self.pixels))
        return excess(self.clean, said, len(self.classifier.classnames))


def excess(clean: Said, triggered: Said, classes: int) -> Excess:
    """From what is said of the same pictures (M,) without and with a trigger."""
    index = torch.arange(classes, device=clean.own.device)[:, None]
    elsewhere = clean.own != index  # (K, M)
    there = (triggered.own == index) & elsewhere
    pairs = zip(clean.twins, triggered.twins, strict=True)
    kept = torch.stack([before == after for before, after in pairs]).all(0)
    strayed = elsewhere & (triggered.own != clean.own) & ~there
    number = elsewhere.sum(1).clamp(min=1)
    return Excess(
        carried=(there & kept).sum(1) / number,
        strayed=(strayed & kept).sum(1) / number,
        own=there.sum(1) / number,
        kept=(elsewhere & kept).sum(1) / number,
    )


@torch.no_grad()
def _said(classifier: Classifier, references: References, pixels: Tensor) -> Said:
    own = encoded(classifier, pixels)
    trusted = references.features_of_many(pixels, own)
    return Said(classifier.logits_from_features(own).argmax(1), references.says(trusted))
