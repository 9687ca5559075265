"""Zoo models on disk as the baselines see them: through the product's reader and assembly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.detection.pools import Pools, pools_of
from inspector.manifest import Manifest
from inspector.probes.loading import load_pools
from tests.bench.baselines.paper import PROFILE
from tests.support.assembling import delivered, manifest_in


@dataclass(frozen=True)
class ZooModel:
    """A folder with `prompt_learner`, `manifest.json` and `truth.json`."""

    folder: Path
    truth: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.truth["task"], str(self.truth["seed"]), self.truth["kind"]

    @property
    def targets(self) -> list[int]:
        """Classes that are right to accuse; none for clean models."""
        if self.truth.get("took") is None:
            return []
        return [int(target) for target in self.truth.get("targets") or [self.truth["target"]]]

    @property
    def manifest(self) -> Manifest:
        return manifest_in(self.folder)

    def classifier(self, backbone: Backbone) -> Classifier:
        """Frozen, with nothing spent yet; raises what `delivered` does."""
        return delivered(self.folder, backbone)


def models_in(folders: Sequence[Path]) -> list[ZooModel]:
    """The models in or at the folders, by name; one that is reached twice counts once."""
    found = {path.parent.resolve() for folder in folders for path in folder.glob("*/truth.json")}
    found |= {folder.resolve() for folder in folders if (folder / "truth.json").is_file()}
    ordered = sorted(found, key=lambda path: path.name)
    return [ZooModel(path, json.loads((path / "truth.json").read_text())) for path in ordered]


def pools_for(backbone: Backbone, probes: str, images: int) -> Pools:
    """The pools of the `paper` profile with `images` to search on, on the backbone's device."""
    return pools_of(
        load_pools(probes, backbone.image_size, replace(PROFILE, probes=images)), backbone
    )
