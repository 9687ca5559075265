"""A whole sweep without a meter: every target screened and searched."""

from __future__ import annotations

from dataclasses import replace

from inspector.clip.classifier import Classifier
from inspector.detection.evidence import Sweep
from inspector.detection.inversion import SearchConfig
from inspector.detection.sweep import Start, screen, search_class


def sweep(
    classifier: Classifier,
    start: Start,
    targets: list[int],
    config: SearchConfig,
    seed: int,
    times: int = 0,
) -> Sweep:
    screened = screen(classifier, start, targets, config, seed, times)
    found = [search_class(classifier, start, target, config, seed) for target in screened.targets]
    return replace(screened, found=found)
