"""A whole sweep without a meter: every target screened and searched."""

from __future__ import annotations

from dataclasses import replace

from inspector.clip.classifier import Classifier
from inspector.detection.evidence import Sweep
from inspector.detection.inversion import SearchConfig
from inspector.detection.sweep import CleanProbes, screen, search_class


def sweep(
    classifier: Classifier,
    clean: CleanProbes,
    targets: list[int],
    config: SearchConfig,
    seed: int,
    number: int = 0,
) -> Sweep:
    screened = screen(classifier, clean, targets, config, seed, number)
    found = [search_class(classifier, clean, target, config, seed) for target in screened.targets]
    return replace(screened, found=found)
