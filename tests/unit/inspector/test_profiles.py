"""The search radius of a backbone."""

from __future__ import annotations

import pytest

from inspector.clip.backbone import load_backbone
from inspector.profiles import RADII, radius


def test_the_built_in_backbone_has_its_own_radius() -> None:
    """Retraining `pocket` without choosing its radius again would change verdicts silently."""
    assert load_backbone("pocket").sha256 in RADII


def test_other_radii_scale_with_the_image_size() -> None:
    assert radius(224) == pytest.approx(4 / 255)
    assert radius(112, "0" * 64) == pytest.approx(8 / 255)
