"""Filling a calibration: honest models one by one, each inspected as `inspect` would.

The same probes, search, rule and seed; every class. After each model the scores so far are kept
beside the file, so that a run that was stopped goes on. Imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inspector.calibration import Calibration, ClassNames, Method, Probes, Weights, made, save
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.determinism import reproducible
from inspector.detection.pools import pools_of
from inspector.detection.random_triggers import draw
from inspector.detection.testing import test_of, units_of
from inspector.detection.triggers import Trigger
from inspector.files import read_json, write_whole
from inspector.manifest import Manifest
from inspector.probes.loading import ProbeSet, load_pools
from inspector.profiles import profile_named, radius
from inspector.progress import Meter, Say
from inspector.reference.benign_models import BenignModelFactory, variation

Scored = tuple[float, Mapping[str, Any]]


@dataclass(frozen=True)
class Order:
    """What is asked for; `manifest` names at least two classes. `device` is resolved."""

    backbone: str
    manifest: Manifest
    method: Method
    profile: str
    probes: str
    in_distribution: bool
    number: int
    seed: int
    device: str
    out: Path

    @property
    def classnames(self) -> list[str]:
        """The manifest's class names, in label order."""
        return list(self.manifest.classnames or ())


def fill(order: Order, progress: Say, note: Callable[[str], None]) -> Calibration:
    """Tune, inspect, and write the file.

    Raises:
        BackboneError: the backbone cannot be used.
        RequestError: the probes or the profile cannot.
        NumericalError: a model became NaN or infinite.
    """
    profile = profile_named(order.profile)
    backbone = load_backbone(order.backbone, order.device)
    given = order.manifest
    backbone = replace(backbone, mean=given.mean or backbone.mean, std=given.std or backbone.std)
    probes = load_pools(
        order.probes, backbone.image_size, profile, in_distribution=order.in_distribution
    )
    with reproducible():
        models = _Bank(order, backbone, probes, Meter(progress, None), note).models()
    here = Weights(backbone.sha256, backbone.mean, backbone.std), ClassNames.of(order.classnames)
    used = Probes(probes.sha256, probes.pictures)
    calibration = made(here, order.method, profile, used, order.seed, models)
    save(calibration, order.out)
    _partial(order.out).unlink(missing_ok=True)
    return calibration


class _Bank:
    """The models of one order."""

    def __init__(
        self, order: Order, backbone: Backbone, probes: ProbeSet, meter: Meter,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._order, self._backbone, self._meter, self._note = order, backbone, meter, note
        self._sha256 = probes.sha256
        self._pools = pools_of(probes, backbone)
        self._targets = list(range(len(order.classnames)))
        self._is_conditioned = order.method == "CoCoOp"

    def models(self) -> list[Scored]:
        order, meter = self._order, self._meter
        key = self._key()
        models = _kept(order.out, key)[: order.number]
        if models:
            self._note(f"{len(models)} of {order.number} models are there from an earlier run")
        left = range(len(models), order.number)
        count = len(self._targets)
        meter.expect(len(left) * units_of(profile_named(order.profile), count))
        pool, conditioned = self._pools.optimisation, self._is_conditioned
        factory = BenignModelFactory(
            self._backbone, order.classnames, pool, conditioned=conditioned
        )
        for index in left:
            with meter.stage(f"model {index + 1} of {order.number}"):
                model, used = factory.build(variation(order.seed, index), self._drawn)
                models.append((self._score(model), used.to_json()))
            _keep(order.out, key, models)
            self._note(f"model {index + 1} of {order.number}: score {models[-1][0]:.4f}")
        return models

    def _drawn(self, seed: int) -> Mapping[str, Sequence[Trigger]]:
        return draw(self._backbone.image_size, seed)

    def _score(self, model: Classifier) -> float:
        """The report's `score`."""
        backbone, profile = self._backbone, profile_named(self._order.profile)
        reach = radius(backbone.image_size, backbone.sha256)
        test = test_of(profile, model, self._pools, reach, self._order.seed)
        return test.run(self._targets, self._meter).score

    def _key(self) -> dict[str, Any]:
        """What scores of an earlier run must agree in to be of use."""
        order, backbone = self._order, self._backbone
        key: dict[str, Any] = {
            "statistic": profile_named(order.profile).statistic,
            "backbone": asdict(Weights(backbone.sha256, backbone.mean, backbone.std)),
            "classes": order.classnames,
            "method": order.method,
            "profile": asdict(profile_named(order.profile)),
            "probes": self._sha256,
            "seed": order.seed,
        }
        same: dict[str, Any] = json.loads(json.dumps(key))
        return same


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _keep(out: Path, key: Mapping[str, Any], models: list[Scored]) -> None:
    write_whole(_partial(out), json.dumps({"key": key, "models": models}))


def _kept(out: Path, key: Mapping[str, Any]) -> list[Scored]:
    """Scores of an earlier run of the same order, none where there was none or another."""
    try:
        data = read_json(_partial(out))
        if data["key"] != key:
            return []
        return [(float(score), dict(recipe)) for score, recipe in data["models"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []
