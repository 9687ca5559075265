"""What one method says about one built model: a profile of the product, or a published detector."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from inspector.clip.backbone import Backbone
from inspector.detection.pools import Pools
from inspector.probes.loading import BUILT_IN
from inspector.profiles import radius, statistic_of
from inspector.run.flops import operations
from inspector.run.pipeline import Request
from tests.bench.baselines.__main__ import METHODS as BASELINES
from tests.bench.baselines.common import Setting
from tests.bench.baselines.paper import PROFILE
from tests.bench.baselines.zoo import pools_for
from tests.bench.detect import inspect_folder
from tests.support.assembling import delivered, manifest_in

PRODUCT = ("standard", "quick", "thorough")
"""Profiles of the product that are examined as such; `paper` is the publication's own loop."""
METHODS = (*PRODUCT, *BASELINES)

Said = dict[str, Any]
"""The columns of `tests.exam.rows.Row` that a method fills."""


def rule_of(method: str) -> str:
    """Whose looks the ledger keeps."""
    return statistic_of(method) if method in PRODUCT else method


def say(method: str, folder: Path, backbone: Backbone, probes: str, seed: int) -> Said:
    """Inspect a model as delivered in `folder`; `seconds` include reading it.

    Args:
        probes: their folder, or `builtin`.
        seed: of the inspection.
    """
    started = time.perf_counter()
    look = _by_product if method in PRODUCT else _by_baseline
    said = look(method, folder, backbone, probes, seed)
    return said | {"seconds": round(time.perf_counter() - started, 2)}


def _by_product(profile: str, folder: Path, backbone: Backbone, probes: str, seed: int) -> Said:
    request = Request(
        backbone=backbone.id,
        manifest=manifest_in(folder),
        device=backbone.device.type,
        profile=profile,
        probes=probes,
        in_distribution=probes != BUILT_IN,
        seed=seed,
    )
    return said_in(inspect_folder(folder, request, lambda *_: backbone))


def said_in(report: dict[str, Any]) -> Said:
    """A report's part of the row."""
    ranked = sorted(
        (row for row in report["per_class"] if row["score"] is not None),
        key=lambda row: -row["score"],
    )
    return {
        "verdict": report["verdict"],
        "found": report["target"]["index"] if report["target"] else None,
        "score": report["score"],
        "p_value": report["p_value"],
        "excess_asr": ranked[0]["excess_asr"] if ranked else None,
        "assembly": report["assembly"],
        "second_score": ranked[1]["score"] if len(ranked) > 1 else None,
        "flops": report["budget"]["flops"],
    }


def _by_baseline(method: str, folder: Path, backbone: Backbone, probes: str, seed: int) -> Said:
    classifier = delivered(folder, backbone)
    setting = Setting(radius(backbone.image_size, backbone.sha256), seed=seed)
    result = BASELINES[method](classifier, _pools(backbone, probes), setting)
    return {
        "verdict": "backdoored" if result.flagged else "clean",
        "found": result.accused,
        "score": result.score,
        "p_value": None,
        "excess_asr": None,
        "assembly": "",
        "second_score": None,
        "flops": operations(classifier, classifier.work),
    }


@lru_cache(maxsize=2)
def _pools(backbone: Backbone, probes: str) -> Pools:
    return pools_for(backbone, probes, PROFILE.probes)
