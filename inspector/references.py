"""What the search finds on the reference, kept between inspections.

A reference depends on the backbone, the class list and the probes, and on nothing that the vendor
delivered, not even on its family; so does what is kept here, under a hash of exactly these. A
damaged entry is made again. Does not judge.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import torch

from inspector.clip.classifier import Classifier, Work
from inspector.inversion.ground import Effect
from inspector.inversion.outcome import Inverted, Outcome, pooled
from inspector.inversion.search import SearchConfig
from inspector.inversion.sweep import Pools, begin, screen, search_class
from inspector.progress import Meter
from inspector.tuning.twin import TWIN_RECIPE, TWIN_SEED, reference

_VERSION = 9
_KEPT = sorted(field.name for field in fields(Outcome))
_MEASURED = sorted(field.name for field in fields(Inverted) if field.name != "trigger")
_NO_TRIGGER = torch.empty(0)


@dataclass(frozen=True)
class Setting:
    """Everything that decides what a reference's sweep finds, but for targets and seed."""

    classifier: Classifier
    pools: Pools
    probes_sha256: str
    config: SearchConfig

    def key(self, targets: list[int], seed: int) -> str:
        """Stable name of one sweep. The vendor's tensors are no part of it."""
        backbone = self.classifier.backbone.reference
        parts = {
            "version": _VERSION,
            "torch": torch.__version__,
            "device": backbone.device.type,
            "backbone": [backbone.sha256, list(backbone.mean), list(backbone.std)],
            "classnames": self.classifier.classnames,
            "probes": self.probes_sha256,
            "twin": [asdict(TWIN_RECIPE), TWIN_SEED],
            "config": asdict(self.config),
            "targets": targets,
            "seed": seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


class References:
    """Sweeps over the clean twin, from the cache where they are there. `work` is their cost."""

    def __init__(self, setting: Setting, cache: Path | None, meter: Meter) -> None:
        self._setting, self._cache, self._meter = setting, cache, meter
        self.work = Work()

    def has(self, targets: list[int], seed: int) -> bool:
        return self._load(self._path(targets, seed)) is not None

    def sweep(self, targets: list[int], seed: int) -> list[Outcome]:
        """One outcome per target, without triggers.

        Raises:
            BudgetExceeded: the time ran out; nothing is kept.
        """
        path = self._path(targets, seed)
        loaded = self._load(path)
        if loaded is None:
            loaded = self._make(targets, seed)
            if path is not None:
                _write(path, *loaded)
        outcomes, work = loaded
        self.work = self.work + work
        return outcomes

    def _path(self, targets: list[int], seed: int) -> Path | None:
        if self._cache is None:
            return None
        return self._cache / f"reference-{self._setting.key(targets, seed)}.json"

    def _make(self, targets: list[int], seed: int) -> tuple[list[Outcome], Work]:
        classifier, pools = self._setting.classifier, self._setting.pools
        backbone = classifier.backbone.reference
        twin = reference(backbone, classifier.classnames, pools.optimisation)
        before = Work(**vars(twin.work))
        config = self._setting.config
        start = begin(twin, pools, config)
        within = self._meter.within_budget(targets)
        found = [search_class(twin, start, target, config, seed) for target in within]
        if len(found) < len(targets):
            self._meter.check()
        outcomes = pooled([replace(screen(twin, start, targets, config, seed), found=found)])
        done = Work(**{name: n - getattr(before, name) for name, n in vars(twin.work).items()})
        return [_bare(_scalars(outcome)) for outcome in outcomes], done

    def _load(self, path: Path | None) -> tuple[list[Outcome], Work] | None:
        if path is None:
            return None
        try:
            data = json.loads(path.read_text())
            return [_bare(values) for values in data["outcomes"]], Work(**data["work"])
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _scalars(outcome: Outcome) -> dict[str, Any]:
    """The outcome without its trigger."""
    assert outcome.inverted is not None
    values = asdict(replace(outcome, inverted=replace(outcome.inverted, trigger=_NO_TRIGGER)))
    del values["inverted"]["trigger"]
    return values


def _bare(values: dict[str, Any]) -> Outcome:
    if sorted(values) != _KEPT or sorted(values["inverted"]) != _MEASURED:
        raise ValueError("not an outcome")
    measured = values["inverted"] | {"own": Effect(**values["inverted"]["own"])}
    return Outcome(
        target=values["target"],
        inverted=Inverted(trigger=_NO_TRIGGER, **measured),
        others=Effect(**values["others"]),
        displaced=values["displaced"],
        stock={family: Effect(**effect) for family, effect in values["stock"].items()},
    )


def _write(path: Path, outcomes: list[Outcome], work: Work) -> None:
    """Complete or not at all; a cache that cannot be written is no reason to fail."""
    text = json.dumps({"outcomes": [_scalars(o) for o in outcomes], "work": vars(work)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError:
        return
