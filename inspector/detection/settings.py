"""From a profile to what one sweep spends on a classifier."""

from __future__ import annotations

from dataclasses import asdict, replace

from inspector.clip.backbone import Backbone
from inspector.detection.inversion import SearchConfig
from inspector.detection.score import FEW
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
