"""From a profile to what one sweep spends on a classifier."""

from __future__ import annotations

from dataclasses import asdict, replace

from inspector.clip.backbone import Backbone
from inspector.detection.inversion import SearchConfig
from inspector.detection.rule import current
from inspector.profiles import Profile, radius


def search_config(
    profile: Profile,
    backbone: Backbone,
    classes: int,
    is_conditioned: bool,
    *,
    in_distribution: bool = False,
) -> SearchConfig:
    """What one sweep of such a classifier spends.

    With few classes the first sweep asks all global random triggers, as leads scatter; on
    pictures of what the model is for also local ones, as the null quantiles there are of models
    that were asked for both.
    """
    budget = profile.conditioned if is_conditioned else profile.static
    if classes <= current().few_classes:
        budget = replace(budget, trigger_splits=1)
    if in_distribution:
        budget = replace(budget, local_first=True)
    return SearchConfig(
        epsilon=radius(backbone.image_size, backbone.sha256),
        learning_rate=profile.learning_rate,
        **asdict(budget),
    )
