"""On which probes a model is inspected, and what a search on them spends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from inspector.clip.backbone import Backbone
from inspector.config import Profile, radius
from inspector.inversion.search import SearchConfig
from inspector.inversion.sweep import Pools
from inspector.probes.loading import BUILT_IN, ProbeSet, load_pools
from inspector.scoring.decide import FEW


@dataclass(frozen=True)
class Probing:
    """One kind of probes: as loaded, where the backbone computes, and what one sweep on them spends."""

    probes: ProbeSet
    pools: Pools
    config: SearchConfig


def load_probes(
    source: str, size: int, profile: Profile, *, in_distribution: bool
) -> list[ProbeSet]:
    """Those that are asked for; beside pictures of what the model is for also built-in ones.

    Either kind shows backdoors that the other does not (LOG.md, experiment 49).

    Raises:
        RequestError: see `load_pools`.
    """
    asked = load_pools(source, size, profile, in_distribution=in_distribution)
    return [asked, load_pools(BUILT_IN, size, profile)] if in_distribution else [asked]


def probing(
    probes: ProbeSet, backbone: Backbone, profile: Profile, classes: int, *, conditioned: bool
) -> Probing:
    """For a classifier of so many classes, whose prompts read the picture or not."""
    of_the_task = probes.in_distribution
    config = search_config(profile, backbone, classes, conditioned, in_distribution=of_the_task)
    return Probing(probes, pools_of(probes, backbone), config)


def pools_of(probes: ProbeSet, backbone: Backbone) -> Pools:
    """The pools where the backbone computes."""
    device = backbone.device
    return Pools(probes.optimisation.to(device), probes.held_out.to(device), probes.in_distribution)


def search_config(
    profile: Profile,
    backbone: Backbone,
    classes: int,
    is_conditioned: bool,
    *,
    in_distribution: bool = False,
) -> SearchConfig:
    """What one sweep of such a classifier spends.

    With few classes all stock triggers, as leads scatter; on pictures of what the model is for also those
    that cover, as the units there are of models that were asked for them at once.
    """
    budget = profile.conditioned if is_conditioned else profile.static
    if classes <= FEW:
        budget = replace(budget, turns=1)
    if in_distribution:
        budget = replace(budget, covers=True)
    return SearchConfig(
        epsilon=radius(backbone.image_size, backbone.sha256),
        learning_rate=profile.learning_rate,
        **asdict(budget),
    )
