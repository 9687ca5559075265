"""Before the search: the classifier, the probes, and how sure we are that it is the vendor's.

Knows no trigger. What it learns goes into the evidence as it is learned, so that a stage that
breaks leaves the others' findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.clip.assembly import Assembly
from inspector.clip.backbone import Backbone
from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.learned import Delivered
from inspector.clip.level import AssemblyLevel, assembly_level, level_by_labels
from inspector.clip.prompts import name_tokens
from inspector.clip.proof import assemble_checked
from inspector.clip.vendor import logits_of
from inspector.detection.effects import CleanBaseline, encode_clean
from inspector.detection.objectives import margins
from inspector.detection.pools import Pools, pools_of
from inspector.errors import AssemblyError
from inspector.probes.labelled import LabelledSet, load_labelled
from inspector.probes.loading import ProbeSet, load_pools
from inspector.probes.pairs import Pairs, load_pairs
from inspector.probes.procedural import procedural_probes
from inspector.profiles import Profile, profile_named, radius
from inspector.progress import Meter
from inspector.report import Evidence
from inspector.request import Request

_WIPED_OUT = (
    "A trigger that wipes out what the model looks at, a film over a task about colours say, "
    "leaves nothing to compare with and is missed."
)
"""Experiment 55."""
_PUBLISHED = (
    "The published method warns and nothing else: how often it accuses honest models of this "
    "backbone is not known, and universal perturbations of the backbone move them, too."
)


@dataclass(frozen=True)
class Prepared:
    """Everything that the search needs.

    Attributes:
        radius: of added triggers, in pixel units of [0,1].
        delivered: the classifier with the tensors of its file.
        clean: what the classifier as delivered says of the held-out probes.
        targets: the classes to search, in order.
        teaching: labelled pictures that teach a repair; none where the user gives none.
        measuring: others, which teach nothing: they measure the delivered model and its repair.
        pairs: pictures and captions that clean encoders, where the user has given some.
    """

    request: Request
    profile: Profile
    family: str
    delivered: Delivered
    probes: ProbeSet
    pools: Pools
    radius: float
    clean: CleanBaseline
    targets: list[int]
    teaching: LabelledSet
    measuring: LabelledSet
    pairs: Pairs | None

    @property
    def classifier(self) -> Classifier:
        """As delivered, and frozen."""
        return self.delivered.classifier

    @property
    def is_exhaustive(self) -> bool:
        """Whether every class is searched."""
        return len(self.targets) == len(self.classifier.classnames)

    def name(self, index: int) -> str:
        """Class name by index."""
        return self.classifier.classnames[index]


def prepare(
    request: Request,
    source: tuple[Reading, Path],
    backbone: Backbone,
    evidence: Evidence,
    meter: Meter,
) -> Prepared:
    """Run the stages `assemble`, `probes` and `assembly-level`.

    Args:
        source: the reading and its canonical tensors.

    Raises:
        AssemblyError: there is no classifier, or one that has nothing to choose between.
        RequestError: probes, labelled pictures, pairs or the manifest's check cannot be used.
    """
    with meter.stage("assemble"):
        assembly, checked = assemble_checked(*source, request.manifest, backbone)
        classifier = assembly.classifier.requires_grad_(False)
        delivered = Delivered.read(classifier, source[0].family or "", source[1])
        evidence.family = assembly.family
        evidence.classes = assembly.classes.to_json()
        evidence.findings += assembly.findings
        if assembly.classes.count < 2:
            raise AssemblyError(
                "the classifier has one class, so nothing can be moved to it", "too-few-classes"
            )
    profile = profile_named(request.profile)
    with meter.stage("probes"):
        probes = load_pools(
            request.probes,
            backbone.image_size,
            profile,
            in_distribution=request.in_distribution,
        )
        evidence.probes = probes.to_json()
        pools = pools_of(probes, backbone)
        teaching, measuring = _halves(request, classifier, pools)
        pairs = request.pairs and load_pairs(request.pairs, backbone.image_size)
        if pairs and (said := pairs.left_out):
            evidence.limits.append(said)
    with meter.stage("assembly-level"):
        clean = encode_clean(classifier, pools.held_out)
        level = _level(assembly, clean, probes, checked)
        if checked is None and len(measuring):
            logits = logits_of(classifier, measuring.pixels)
            level = level_by_labels(level, logits, measuring.labels)
        evidence.assembly, evidence.assembly_reason = level.name, level.reason
    evidence.radius = radius(backbone.image_size, backbone.sha256)
    _limits(request, assembly, profile, evidence)
    return Prepared(
        request, profile, assembly.family, delivered, probes, pools, evidence.radius, clean,
        _targets(request, clean.logits), teaching, measuring, pairs or None,
    )  # fmt: skip


def _halves(
    request: Request, classifier: Classifier, pools: Pools
) -> tuple[LabelledSet, LabelledSet]:
    """What teaches and what measures, neither with a picture that serves the other end, too.

    Raises:
        RequestError: the labelled pictures cannot be used.
    """
    if request.labelled is None:
        return LabelledSet.empty(), LabelledSet.empty()
    backbone = classifier.backbone
    key = partial(name_tokens, backbone)
    given = load_labelled(request.labelled, classifier.classnames, backbone.image_size, key)
    teaching, measuring = given.halves()
    return teaching.without(pools.held_out), measuring.without(pools.optimisation)


@torch.no_grad()
def _level(
    assembly: Assembly, clean: CleanBaseline, probes: ProbeSet, checked: AssemblyLevel | None
) -> AssemblyLevel:
    """The level from held-out probes; where they leave doubt, from others.

    These are all probes, and built-in ones where the user's are of what the model is for.

    Its limit is in standard errors, so that fewer probes only make it stricter. Zero-shot prompts
    may know so little of what a model is for that it rightly agrees with them on nothing there.
    """
    zero_shot = clean.zero_shot_logits.cpu()
    level = assembly_level(assembly.classes, clean.logits.cpu(), zero_shot, checked)
    if level.name == "unverified":
        everything = torch.cat([probes.optimisation, probes.held_out])
        level = _level_on(everything, assembly, clean, checked)
    if level.name == "unverified" and probes.in_distribution:
        strange = procedural_probes(len(everything), everything.shape[-1])
        level = _level_on(strange, assembly, clean, checked)
    return level


def _level_on(
    images: Tensor, assembly: Assembly, clean: CleanBaseline, checked: AssemblyLevel | None
) -> AssemblyLevel:
    classifier = assembly.classifier
    images = images.to(classifier.backbone.device)
    features = encoded(classifier, images)
    own = classifier.logits_from_features(features).cpu()
    zero_shot = clean.zero_shot.logits_of_many(images, features).cpu()
    return assembly_level(assembly.classes, own, zero_shot, checked)


def _targets(request: Request, clean: Tensor) -> list[int]:
    """Every class, or those that untriggered probes are nearest to, nearest first."""
    count = clean.shape[1]
    if request.targets == "all" or request.targets >= count:
        return list(range(count))
    nearness = [margins(clean, target).mean().item() for target in range(count)]
    return sorted(range(count), key=lambda target: (-nearness[target], target))[: request.targets]


def _limits(request: Request, assembly: Assembly, profile: Profile, evidence: Evidence) -> None:
    count, asked = assembly.classes.count, request.targets
    if asked != "all" and asked < count:
        evidence.limits.append(
            f"Only {asked} of {count} classes were searched, those nearest to untriggered probes; "
            "the others may be targets, so this inspection cannot end in clean."
        )
    evidence.limits.append(_PUBLISHED if profile.twins is None else _WIPED_OUT)
    if request.manifest.duplicates:
        names = ", ".join(request.manifest.duplicates[:5])
        evidence.limits.append(f"Class names that stand twice cannot be told apart: {names}.")
