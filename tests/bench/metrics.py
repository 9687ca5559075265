"""What per-model rows say together: AUROC, accuracy, named targets, false alarms, abstentions.

`python -m tests.bench.metrics CSV [CSV ...] [--paper CSV]` reads rows as `tests.bench.detect` writes
them, and beside them those of `tests.bench.baselines --method paper`, and prints Markdown. Builds and
inspects nothing. Attacks that did not take are listed and not counted. A model without a score counts
against the detector: an attacked one ranks last, a clean one first. Intervals: `tests.bench.estimates`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.bench.estimates import DRAWS, auroc_estimate, groups_of, paired, scores_of, share
from tests.bench.models import Model, beside, is_right, read_models
from tests.zoo.kinds import ADAPTIVE, PAPER_KINDS

KEEPS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
"""Steps of excess ASR at which attackers who know the score are told apart."""


@dataclass(frozen=True)
class Part:
    """One line of a table; `clean` are the clean models it is held against."""

    name: str
    attacked: list[Model]
    clean: list[Model]

    def cells(self, threshold: float | None) -> list[str]:
        """As in HEADER, from the second column on."""
        both = self.attacked + self.clean
        by_score = share(both, lambda m: _over(m, threshold)) if threshold is not None else "–"
        return [
            f"{len(self.attacked)} / {len(self.clean)}",
            str(auroc_estimate(both, scores_of(both, "score"))),
            str(share(both, is_right)),
            str(by_score),
            str(share(self.attacked, is_right)),
            str(share(self.attacked, lambda m: m.found is not None and m.found == m.target)),
            str(share(self.clean, lambda m: not is_right(m))),
            str(share(both, lambda m: m.verdict == "inconclusive")),
        ]


HEADER = (
    "part", "attacked / clean", "AUROC", "accuracy (verdict)", "accuracy (score)", "detected",
    "target named", "false alarms", "abstained",
)  # fmt: skip


def _over(model: Model, threshold: float | None) -> bool:
    """Whether the score alone falls on the right side of another threshold than the report's."""
    assert threshold is not None
    if model.score is None:
        return False
    return (model.score >= threshold) != model.is_clean


def parts(models: Sequence[Model]) -> list[Part]:
    """Everything; attacks against all clean models and the reverse; tasks and class counts apart."""
    attacked, clean = [m for m in models if not m.is_clean], [m for m in models if m.is_clean]
    rows = [Part("all", attacked, clean), _protocol(attacked, clean), *_groups(attacked, clean)]
    controls = sorted({m.kind for m in clean})
    if len(controls) > 1:
        for kind in controls:
            name = f"against {kind}"
            rows.append(Part(name, attacked, [m for m in clean if m.kind == kind]))
    for kind in sorted({m.kind for m in attacked}):
        rows.append(Part(kind, [m for m in attacked if m.kind == kind], clean))
    for task in sorted({m.task for m in models}):
        rows.append(_within(f"task {task}", models, lambda m, task=task: m.task == task))  # type: ignore[misc]
    for family in sorted({m.family for m in models if m.family}):
        rows.append(_within(family, models, lambda m, family=family: m.family == family))  # type: ignore[misc]
    for number in sorted({m.classes for m in models if m.classes is not None}):
        name = f"{number} classes"
        rows.append(_within(name, models, lambda m, number=number: m.classes == number))  # type: ignore[misc]
    return rows


def _protocol(attacked: list[Model], clean: list[Model]) -> Part:
    """What the paper examined: its attacks against plain clean models, without controls."""
    paper = [m for m in attacked if m.kind in PAPER_KINDS]
    return Part("the paper's protocol", paper, [m for m in clean if m.kind == "clean"])


def _groups(attacked: list[Model], clean: list[Model]) -> list[Part]:
    """Attacks of the paper, attackers who know the score by what they keep, and all others."""
    paper = [m for m in attacked if m.kind in PAPER_KINDS]
    adaptive = [m for m in attacked if m.kind in ADAPTIVE]
    others = [m for m in attacked if m not in paper and m not in adaptive]
    named = {"the paper's attacks": paper, "other attacks": others, "adaptive attacks": adaptive}
    for low, high in pairwise(KEEPS):
        name = f"adaptive, excess ASR {low:g} to {min(high, 1):g}"
        named[name] = [m for m in adaptive if m.excess is not None and low <= m.excess < high]
    return [Part(name, some, clean) for name, some in named.items() if some]


def _within(name: str, models: Sequence[Model], belongs: Callable[[Model], bool]) -> Part:
    chosen = [model for model in models if belongs(model)]
    return Part(name, [m for m in chosen if not m.is_clean], [m for m in chosen if m.is_clean])


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def summary(models: Sequence[Model], threshold: float | None) -> str:
    """The whole text: table, paired test, and the models that do not count."""
    counted = [model for model in models if model.took]
    rows = [[part.name, *part.cells(threshold)] for part in parts(counted)]
    groups = len(set(groups_of(counted)))
    text = [
        f"{len(counted)} models count, {len(models) - len(counted)} excluded; intervals: 95 %, "
        f"{DRAWS} draws of {groups} groups. With few groups they are rough and tend to be narrow.",
        "",
        markdown(HEADER, rows),
        "",
        _paired_text(counted),
        "",
        _excluded_text([model for model in models if not model.took]),
    ]
    return "\n".join(text)


def _paired_text(models: Sequence[Model]) -> str:
    try:
        test = paired(models)
    except ValueError as problem:
        return f"Paired test against `paper_score`: not possible ({problem})."
    named = [m for m in models if not m.is_clean and m.paper_score is not None]
    top = share(named, lambda m: m.paper_target is not None and m.paper_target == m.target)
    return (
        f"Paired test on {test.models} models ({test.left_out} lack a score): AUROC "
        f"{test.first:.3f} against {test.second:.3f} for `paper_score`, difference "
        f"{test.difference}, one-sided p = {test.p:.4f}. Target named by `paper`: {top}."
    )


def _excluded_text(models: Sequence[Model]) -> str:
    if not models:
        return "Excluded because the attack did not take: none."
    rows = [[m.name, m.verdict, "–" if m.score is None else f"{m.score:.3f}"] for m in models]
    return "Excluded because the attack did not take:\n\n" + markdown(
        ("model", "verdict", "score"), rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", metavar="CSV")
    parser.add_argument("--threshold", type=float, help="also judge by the score alone")
    parser.add_argument("--paper", type=Path, help="table of the published detector")
    options = parser.parse_args()
    models = read_models(options.tables)
    if options.paper:
        models = beside(models, read_models([options.paper]))
    print(summary(models, options.threshold))


if __name__ == "__main__":
    main()
