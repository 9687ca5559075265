"""How sure we are that the assembled classifier is the vendor's: the assembly level.

A misread model (wrong backbone, class order, template) would otherwise pass as clean, so `clean`
needs at least `plausible`. Limits, printed rather than hidden: a wrong class position or a wrong
precision can still be `plausible`; only the vendor's own logits prove them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from inspector.clip.bounds import lower_bound, upper_bound
from inspector.clip.classlist import ClassList

LevelName = Literal["proved", "checked", "plausible", "unverified"]

MINIMUM_KAPPA = 0.1
MINIMUM_SIGMAS = 4.0
"""Chosen on 13 conformance cases and 10 prompts tuned on a photograph backbone, each on procedural
and on photographic probes: rightly assembled they reach kappa 0.16 to 1.00 and all pass; with the
class order shifted they stay at or below 0.08 and none does. Without taking off the class means six
of the right ones would fail."""
LEAST_SKILL = 0.25
"""Of what a guess that sees no picture gets wrong, the share that a checked model gets right. Set
once: the poorest honest models of the examination (0.45 of seven classes) have 0.36."""
SURE = 0.999
"""Confidence of the bounds of an accuracy, one-sided."""


@dataclass(frozen=True, slots=True)
class AssemblyLevel:
    """The level and one sentence of evidence. `agreement` is Cohen's kappa, None if not taken."""

    name: LevelName
    reason: str
    agreement: float | None = None


def assembly_level(
    classes: ClassList,
    probe_logits: Tensor,
    zero_shot_logits: Tensor,
    checked: AssemblyLevel | None = None,
) -> AssemblyLevel:
    """The level that the evidence supports.

    `plausible` asks for a class list read from the file that contradicts nobody, and for agreement
    with the zero-shot reference: on untriggered probes, after each class's mean logit is taken off
    both (a tuned prompt may prefer some classes on any out-of-distribution picture), the two
    predictions must agree beyond what their own class frequencies make them: Cohen's kappa at
    least 0.1 and at least 4 standard errors above zero.

    Args:
        probe_logits: (N, K) of the classifier; zero_shot_logits: (N, K) of the reference.
        checked: the result of `inspector.clip.proof.check_vendor`, if the manifest asked for it.
    """
    if checked is not None:
        return checked
    if classes.match is False:
        return AssemblyLevel("unverified", "the class lists of file and manifest differ")
    if classes.match is None and classes.source == "manifest":
        return AssemblyLevel(
            "unverified", "the file holds no token_suffix to read class names from"
        )
    if classes.count < 2:
        return AssemblyLevel("unverified", "with one class no prediction can be compared")
    kappa, error = _kappa(_predictions(probe_logits), _predictions(zero_shot_logits), classes.count)
    said = f"agreement with zero-shot on {len(probe_logits)} probes: kappa {kappa:.2f}"
    if kappa < max(MINIMUM_KAPPA, MINIMUM_SIGMAS * error):
        return AssemblyLevel("unverified", f"{said}, not well above chance", kappa)
    return AssemblyLevel("plausible", f"class names read from the file; {said}", kappa)


def level_by_labels(level: AssemblyLevel, logits: Tensor, labels: Tensor) -> AssemblyLevel:
    """The level where the user has labelled pictures of the task, which have taught nothing.

    `checked` asks for an accuracy whose lower bound at SURE is above that of the best guess that
    sees no picture, always the commonest label, and that gets LEAST_SKILL of what this guess gets
    wrong. An accuracy whose upper bound is below what independent answers of the same frequencies
    would have shows that the model sees the pictures and calls them by other names: then it is
    `unverified`. In between labels say nothing and `level` stays. Classes that have no picture, and
    two of many that changed places, are not checked.

    Args:
        level: what probes say.
        logits: (N, K) of the classifier; labels: (N,) class indices.
    """
    number = len(labels)
    answers, classes = logits.argmax(1), logits.shape[1]
    labelled, answered = (one.bincount(minlength=classes) / number for one in (labels, answers))
    right = int((answers == labels).sum())
    chance, blind = float(labelled.max()), float(labelled @ answered)
    said = (
        f"accuracy {right / number:.2f} on {number} labelled pictures of "
        f"{len(labels.unique())} of {classes} classes"
    )
    if upper_bound(right, number, SURE) < blind:
        guess = f"what the same answers in another order would have is {blind:.2f}"
        return AssemblyLevel("unverified", f"{said}: below guessing, {guess}", level.agreement)
    is_skilled = right / number >= chance + LEAST_SKILL * (1 - chance)
    if is_skilled and lower_bound(right, number, SURE) > chance:
        return AssemblyLevel("checked", f"{said}; a guess has {chance:.2f}", level.agreement)
    return level


def _predictions(logits: Tensor) -> Tensor:
    return (logits - logits.mean(0)).argmax(1)


def _kappa(left: Tensor, right: Tensor, classes: int) -> tuple[float, float]:
    """Cohen's kappa of two label vectors (N,), and its standard error under no agreement."""
    frequencies = [
        label.bincount(minlength=classes).double() / len(label) for label in (left, right)
    ]
    chance = float((frequencies[0] * frequencies[1]).sum())
    if chance > 1 - 1e-9:
        return 0.0, 1.0
    observed = float((left == right).double().mean())
    error = (chance / ((1 - chance) * len(left))) ** 0.5
    return (observed - chance) / (1 - chance), error
