"""Pictures of per-model rows: ROC, scores by kind, detection over what an attacker keeps.

`python -m tests.bench.plots CSV [CSV ...] [--paper CSV] --out DIR` writes DIR/roc.svg, DIR/scores.svg and
DIR/keeps.svg. Rows and what counts as in `tests.bench.metrics`; a model without a score is left out of
the first two and is a miss in the third. Drawn by matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inspector.detection.twin_test import DEMONSTRATED
from tests.bench.estimates import Floats, auroc, wilson
from tests.bench.models import Model, beside, is_right, read_models
from tests.zoo.kinds import ADAPTIVE, ATTACKS, KINDS, PAPER_KINDS

STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Excess ASR at which the third picture counts; the gate lets no attack below a half count."""


def roc(attacked: Sequence[float], clean: Sequence[float]) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, both from 0 to 1."""
    thresholds = np.unique([*attacked, *clean])[::-1, None]
    rates = [
        np.concatenate([[0.0], (np.asarray(scores)[None] >= thresholds).mean(1)])
        for scores in (clean, attacked)
    ]
    return rates[0], rates[1]


def found_from(models: Sequence[Model], excess: float) -> tuple[int, int]:
    """How many attacks that keep at least so much excess ASR are detected, and how many there are."""
    some = [m for m in models if not m.is_clean and m.excess is not None and m.excess >= excess]
    return sum(map(is_right, some)), len(some)


def draw_roc(axes: Axes, models: Sequence[Model]) -> None:
    """Both on the models that both have, where the published detector was run on any."""
    if any(m.paper_score is not None for m in models):
        models = [m for m in models if m.paper_score is not None and m.score is not None]
    for name, label in (("score", "clipvet"), ("paper_score", "CLIP-Inspector")):
        pairs = [(m, getattr(m, name)) for m in models if getattr(m, name) is not None]
        attacked = [score for m, score in pairs if not m.is_clean]
        clean = [score for m, score in pairs if m.is_clean]
        value = auroc(attacked, clean)
        if value is not None:
            sizes = f"{len(attacked)} attacked, {len(clean)} clean"
            axes.step(*roc(attacked, clean), where="post", label=f"{label}: {value:.3f} ({sizes})")
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    axes.legend(loc="lower right")


def draw_scores(axes: Axes, models: Sequence[Model], threshold: float) -> None:
    """One line a kind, clean ones below; the threshold of the rule as a line."""
    kinds = sorted({m.kind for m in models}, key=lambda kind: (kind in ATTACKS, KINDS.index(kind)))
    for height, kind in enumerate(kinds):
        scores = [m.score for m in models if m.kind == kind and m.score is not None]
        colour = "tab:red" if kind in ATTACKS else "tab:blue"
        axes.plot(scores, [height] * len(scores), "|", color=colour, markersize=9)
    axes.axvline(threshold, color="0.4", linewidth=1)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set(xlabel="score", title="Scores (red: attacked)")


def draw_keeps(axes: Axes, models: Sequence[Model]) -> None:
    """Detected share of attacks that keep at least so much, with Wilson's intervals."""
    groups = {
        "the paper's attacks": [m for m in models if m.kind in PAPER_KINDS],
        "adaptive": [m for m in models if m.kind in ADAPTIVE],
        "all": list(models),
    }
    for name, some in groups.items():
        counted = [(step, *found_from(some, step)) for step in STEPS]
        points = [
            (step, hits / number, *wilson(hits, number)) for step, hits, number in counted if number
        ]
        if points:
            steps, values, low, high = np.asarray(points).T
            errors = np.clip([values - low, high - values], 0, None)
            axes.errorbar(steps, values, errors, marker="o", capsize=3, label=name)
    axes.set(xlabel="excess ASR at least", ylabel="detected", ylim=(-0.02, 1.02))
    axes.set_title("Detection over what the attacker keeps")
    axes.legend(loc="lower right")


def draw(models: Sequence[Model], threshold: float, out: Path) -> list[Path]:
    """Write the pictures of the models that count into `out`; their paths."""
    counted = [model for model in models if model.took]
    out.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Callable[[Axes], None]] = {
        "roc": lambda axes: draw_roc(axes, counted),
        "scores": lambda axes: draw_scores(axes, counted, threshold),
        "keeps": lambda axes: draw_keeps(axes, counted),
    }
    paths = []
    for name, picture in pictures.items():
        figure = Figure(figsize=(7, 5), layout="constrained")
        picture(figure.subplots())
        paths.append(out / f"{name}.svg")
        with rc_context({"svg.hashsalt": name}):  # The same rows, the same file.
            figure.savefig(paths[-1], metadata={"Date": None})
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", metavar="CSV")
    parser.add_argument("--paper", type=Path, help="table of the published detector")
    parser.add_argument("--threshold", type=float, default=DEMONSTRATED)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    models = read_models(options.tables)
    if options.paper:
        models = beside(models, read_models([options.paper]))
    for path in draw(models, options.threshold, options.out):
        print(path)


if __name__ == "__main__":
    main()
