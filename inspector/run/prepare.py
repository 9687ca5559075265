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
from inspector.clip.level import AssemblyLevel, assembly_level
from inspector.clip.prompts import name_tokens
from inspector.clip.proof import assemble_checked
from inspector.detection.cost import searches_of
from inspector.detection.inversion import SearchConfig
from inspector.detection.objectives import margins
from inspector.detection.pools import Pools, pools_of
from inspector.detection.rule import current
from inspector.detection.settings import search_config
from inspector.detection.sweep import CleanProbes, encode_probes
from inspector.errors import AssemblyError
from inspector.probes.labelled import LabelledSet, load_labelled
from inspector.probes.loading import ProbeSet, load_pools
from inspector.probes.pairs import Pairs, load_pairs
from inspector.probes.procedural import procedural_probes
from inspector.profiles import Profile, profile_named
from inspector.progress import Meter
from inspector.report import Evidence
from inspector.request import Request

_UNREAD = {
    False: "What does not read the picture is held against zero-shot prompts, which tells little "
    "where these know the classes poorly.",
    True: "A backdoor in the part of the prompt that reads no picture, where words, stripes and "
    "small patches may leave it, is often missed.",
}
"""By whether prompts read the picture; experiments 44 and 45."""
_OTHER_PROBES = {
    False: "The probes do not show what the model is for. Unlabelled pictures that do, stated to "
    "be in distribution, reveal faint backdoors that these do not.",
    True: "A few backdoors show with built-in probes and not with pictures of what the model is "
    "for; an inspection with these finds them, and accuses honest models more often.",
}
_UNTRIED_PROBES = (
    "How often a verdict from pictures of what the model is for is wrong where prompts do not read "
    "the picture is not known."
)
"""By whether the probes are in distribution, where prompts read the picture; and where they do not.
Experiments 49 and 50."""


_WIPED_OUT = (
    "A trigger that wipes out what the model looks at, a film over a task about colours say, "
    "leaves nothing to compare with and is missed."
)
"""Experiment 55."""


@dataclass(frozen=True)
class Prepared:
    """Everything that the search needs.

    Attributes:
        clean: what the classifier as delivered says of the first probes.
        targets: the classes to search, in order.
        labelled: pictures that teach and measure a repair, where the user has given some.
        pairs: pictures and captions that clean encoders, where the user has given some.
    """

    request: Request
    profile: Profile
    family: str
    classifier: Classifier
    probes: ProbeSet
    pools: Pools
    config: SearchConfig
    clean: CleanProbes
    targets: list[int]
    labelled: LabelledSet | None
    pairs: Pairs | None

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
        labelled = _labelled(request, classifier)
        pairs = request.pairs and load_pairs(request.pairs, backbone.image_size)
    config = search_config(
        profile,
        classifier.backbone,
        len(classifier.classnames),
        classifier.is_instance_conditioned,
        in_distribution=request.in_distribution,
    )
    with meter.stage("assembly-level"):
        clean = encode_probes(classifier, pools, config)
        level = _level(assembly, clean, probes, checked)
        evidence.assembly, evidence.assembly_reason = level.name, level.reason
    evidence.radius = config.epsilon
    _limits(request, assembly, profile, config, evidence)
    return Prepared(
        request, profile, assembly.family, classifier, probes, pools, config, clean,
        _targets(request, clean.logits), labelled, pairs or None,
    )  # fmt: skip


def _labelled(request: Request, classifier: Classifier) -> LabelledSet | None:
    if request.labelled is None:
        return None
    backbone = classifier.backbone
    key = partial(name_tokens, backbone)
    return load_labelled(request.labelled, classifier.classnames, backbone.image_size, key)


@torch.no_grad()
def _level(
    assembly: Assembly, clean: CleanProbes, probes: ProbeSet, checked: AssemblyLevel | None
) -> AssemblyLevel:
    """The level from the probes that the search needs anyway; where they leave doubt, from others.

    These are all probes, and built-in ones where the user's are of what the model is for.

    Its limit is in standard errors, so that fewer probes only make it stricter. Zero-shot prompts
    may know so little of what a model is for that it rightly agrees with them on nothing there.
    """
    zero_shot = clean.baseline.zero_shot.logits_of_many(clean.pixels, clean.features).cpu()
    level = assembly_level(assembly.classes, clean.logits.cpu(), zero_shot, checked)
    if level.name == "unverified":
        everything = torch.cat([probes.optimisation, probes.held_out])
        level = _level_on(everything, assembly, clean, checked)
    if level.name == "unverified" and probes.in_distribution:
        strange = procedural_probes(len(everything), everything.shape[-1])
        level = _level_on(strange, assembly, clean, checked)
    return level


def _level_on(
    images: Tensor, assembly: Assembly, clean: CleanProbes, checked: AssemblyLevel | None
) -> AssemblyLevel:
    classifier = assembly.classifier
    images = images.to(classifier.backbone.device)
    features = encoded(classifier, images)
    own = classifier.logits_from_features(features).cpu()
    zero_shot = clean.baseline.zero_shot.logits_of_many(images, features).cpu()
    return assembly_level(assembly.classes, own, zero_shot, checked)


def _targets(request: Request, clean: Tensor) -> list[int]:
    """Every class, or those that untriggered probes are nearest to, nearest first."""
    count = clean.shape[1]
    if request.targets == "all" or request.targets >= count:
        return list(range(count))
    nearness = [margins(clean, target).mean().item() for target in range(count)]
    return sorted(range(count), key=lambda target: (-nearness[target], target))[: request.targets]


def _limits_of_random_triggers(request: Request, assembly: Assembly) -> list[str]:
    limits = [_UNREAD[assembly.classifier.is_instance_conditioned]]
    if assembly.classifier.is_instance_conditioned:
        limits.append(_OTHER_PROBES[request.in_distribution])
    elif request.in_distribution:
        limits.append(_UNTRIED_PROBES)
    examined = current().families_examined
    if assembly.family not in examined:
        limits.append(
            f"The thresholds were set on {', '.join(examined)}; how often a verdict on "
            f"{assembly.family} is wrong is not known."
        )
    return limits


def _limits(
    request: Request, assembly: Assembly, profile: Profile, config: SearchConfig, evidence: Evidence
) -> None:
    count, asked = assembly.classes.count, request.targets
    if asked != "all" and asked < count:
        evidence.limits.append(
            f"Only {asked} of {count} classes were searched, those nearest to untriggered probes; "
            "the others may be targets, so this inspection cannot end in clean."
        )
    if (inverted := searches_of(config, count)) < count:
        evidence.limits.append(
            f"Triggers were searched for the {inverted} classes that random triggers put first; "
            "the profile thorough searches every class."
        )
    if profile.twins is not None:
        evidence.limits.append(_WIPED_OUT)
    else:
        evidence.limits += _limits_of_random_triggers(request, assembly)
    if request.manifest.duplicates:
        names = ", ".join(request.manifest.duplicates[:5])
        evidence.limits.append(f"Class names that stand twice cannot be told apart: {names}.")
