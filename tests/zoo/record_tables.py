"""Markdown made of the rows of `tests.zoo.records`: sizes, attacks that did not take, who would be bought, hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean

from tests.zoo.sets import BACKBONES, MINIMA, PARTS, Model

Row = Mapping[str, str]
SHORT = 0.1
"""Nobody buys a model whose accuracy lies further below the better of zero-shot and a linear probe."""


def markdown(rows: Sequence[Row], planned: Mapping[str, Model]) -> str:
    """All four tables. `planned`: the plan by model."""
    parts = sizes(rows, planned), untaken(rows), accuracies(rows), hours(rows, planned)
    return "\n\n".join(parts)


def is_unsold(row: Row) -> bool:
    """Whether nobody would buy this model."""
    return float(row["accuracy"]) < max(float(row["zero_shot"]), float(row["probe"])) - SHORT


def _honest(row: Row) -> bool:
    return row["is_backdoored"] != "True"


def _table(title: str, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    body = [f"| {' | '.join(map(str, line))} |" for line in lines]
    return "\n".join([f"### {title}", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *body])


def sizes(rows: Sequence[Row], planned: Mapping[str, Model]) -> str:
    """What was reached beside what is demanded, by part and backbone."""
    lines: list[Sequence[object]] = []
    for part in PARTS:
        for backbone in BACKBONES:
            number = sum((m.part, m.backbone) == (part, backbone) for m in planned.values())
            if not number:
                continue
            mine = [r for r in rows if (r["part"], r["backbone"]) == (part, backbone)]
            attacks = [row["band"] for row in mine if not _honest(row)]
            most, honest = MINIMA.get((part, backbone), ("–", "–"))
            others = (attacks.count(name) for name in ("weak", "dropped", "none"))
            lines.append((part, backbone, number, len(mine), len(attacks), attacks.count("took"), most,
                          *others, sum(map(_honest, mine)), honest))  # fmt: skip
    heads = ("part", "backbone", "planned", "built", "attacks", "took", "demanded", "weak",
             "dropped", "none", "honest", "demanded")  # fmt: skip
    return _table("Sizes", heads, lines)


def untaken(rows: Sequence[Row]) -> str:
    """Every attack that did not take, the nearest to taking first."""
    bands = "dropped", "weak", "none"
    chosen = [row for row in rows if row["band"] in bands]
    chosen.sort(
        key=lambda r: (bands.index(r["band"]), r["part"], r["backbone"], r["kind"], r["task"])
    )
    heads = ("band", "part", "backbone", "family", "kind", "task", "seed", "ASR", "base", "excess",
             "accuracy drop")  # fmt: skip
    lines = [
        (*(row[name] for name in heads[:7]), *(f"{float(row[n]):.2f}" for n in ("asr", "base", "excess")),
         f"{float(row['clean_accuracy']) - float(row['accuracy']):.2f}")
        for row in chosen
    ]  # fmt: skip
    return _table(f"{len(chosen)} attacks that did not take", heads, lines)


def accuracies(rows: Sequence[Row]) -> str:
    """Means by task and by recipe, then the models that nobody would buy, each by name."""
    by_task = _means(rows, lambda row: (row["part"], row["backbone"], row["task"]))
    by_kind = _means(rows, lambda row: (row["backbone"], row["family"], row["kind"]))
    figures = "models", "accuracy", "zero-shot", "probe", "nobody would buy"
    unsold = [row["model"] for row in rows if is_unsold(row)]
    listed = "\n".join(f"- {name}" for name in unsold)
    return "\n\n".join(
        [
            _table("Accuracy by task", ("part", "backbone", "task", *figures), by_task),
            _table("Accuracy by recipe", ("backbone", "family", "kind", *figures), by_kind),
            f"### {len(unsold)} models that nobody would buy\nAccuracy below the better of zero-shot and probe"
            f" by more than {SHORT}.\n{listed}",
        ]
    )


def _means(rows: Iterable[Row], group: Callable[[Row], tuple[str, ...]]) -> list[Sequence[object]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(group(row), []).append(row)
    return [
        (*key, len(of), *(f"{mean(float(r[name]) for r in of):.2f}" for name in
                          ("accuracy", "zero_shot", "probe")), sum(map(is_unsold, of)))
        for key, of in sorted(groups.items())
    ]  # fmt: skip


def hours(rows: Sequence[Row], planned: Mapping[str, Model]) -> str:
    """Hours of one core used beside planned, of the models whose seconds are known."""
    lines: list[Sequence[object]] = []
    for part in PARTS:
        for backbone in BACKBONES:
            mine = [r for r in rows if (r["part"], r["backbone"]) == (part, backbone)]
            known = [row for row in mine if row["seconds"] and row["model"] in planned]
            if mine:
                used = sum(float(row["seconds"]) for row in known) / 3600
                meant = sum(planned[row["model"]].hours for row in known)
                lines.append((part, backbone, len(mine), len(known), f"{used:.1f}", f"{meant:.1f}"))
    heads = "part", "backbone", "models", "with known seconds", "hours used", "hours planned"
    return _table("Hours", heads, lines)
