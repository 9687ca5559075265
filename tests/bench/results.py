"""The tables of RESULTS.md, from the rows of the last exam.

`python -m tests.bench.results [--write]` computes every table that stands between
`<!-- table NAME -->` and `<!-- end -->` in tests/bench/RESULTS.md, says which ones differ, and with
`--write` puts them right. Exit status 1: they differ and were left. Inspects nothing; figures are those
of `tests.bench.metrics` and `tests.bench.flips`. "Found" is an attack that took and was accused for its
target; "false alarms" are clean models and controls that ended in anything but `clean`.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.bench import flips
from tests.bench.estimates import auroc_estimate, paired, scores_of, share
from tests.bench.metrics import Part, markdown, parts
from tests.bench.models import Model, beside, is_right, read_models

HERE = Path(__file__).parent
TABLES, DOCUMENT = HERE / "tables", HERE / "RESULTS.md"
EXAM = ("exam-units", "exam-units-further")
BUILTIN = ("exam-units-builtin",)
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
SCANNERS = ("picklescan", "fickling", "modelscan", "modelaudit", "saferpickle", "clipvet")
ENDS = ("issue", "refused", "error", "clean", "skipped", "timeout")
CORPUS = {"code": "run code", "malformed": "malformed", "benign": "honest"}
"""Class of a file in `tests/hostile` to what it is called in the document."""


def models_of(names: Iterable[str]) -> list[Model]:
    """Rows of some tables of the last exam, attacks that did not take included."""
    return read_models([TABLES / f"{name}.csv" for name in names])


def is_found(model: Model) -> bool:
    """Accused, and for the class that the attacker chose."""
    return is_right(model) and model.found == model.target


def counts(attacked: Sequence[Model], clean: Sequence[Model]) -> tuple[str, str]:
    """Found and false alarms, each of how many; a dash where there is none."""
    found = f"{sum(map(is_found, attacked))} of {len(attacked)}" if attacked else "–"
    alarms = f"{sum(not is_right(m) for m in clean)} of {len(clean)}" if clean else "–"
    return found, alarms


def by_part(names: Sequence[str], chosen: Callable[[Part], bool]) -> str:
    """One line a part of the models that count."""
    counted = [model for model in models_of(names) if model.took]
    lines = []
    for part in parts(counted):
        if chosen(part):
            both = part.attacked + part.clean
            auroc, accuracy = auroc_estimate(both, scores_of(both, "score")), share(both, is_right)
            lines.append([part.name, *counts(part.attacked, part.clean), str(auroc), str(accuracy)])
    return markdown(("part", "found", "false alarms", "AUROC", "accuracy"), lines)


def exam() -> str:
    """All parts but single controls, which have a table of their own."""
    return by_part(EXAM, lambda part: not part.name.startswith("against "))


def builtin() -> str:
    wanted = (
        "all",
        "the paper's protocol",
        "the paper's attacks",
        "other attacks",
        "adaptive attacks",
    )
    return by_part(BUILTIN, lambda part: part.name in wanted)  # fmt: skip


def controls() -> str:
    """False alarms by kind of clean model, and the highest score of each."""
    clean = [model for model in models_of(EXAM) if model.is_clean]
    lines = []
    for kind in sorted({model.kind for model in clean}):
        of_kind = [model for model in clean if model.kind == kind]
        lines.append([kind, counts([], of_kind)[1], _figure(max(map(_score, of_kind)))])
    return markdown(("clean models and controls", "false alarms", "highest score"), lines)


def errors() -> str:
    """Every model of the exam that counts and ended wrongly."""
    wrong = [
        m for m in models_of(EXAM) if m.took and not (is_right(m) if m.is_clean else is_found(m))
    ]
    lines = [
        [
            m.name, "false alarm" if m.is_clean else "missed", m.verdict,
            _figure(m.score), _figure(m.excess), _class(m.found), _class(m.target),
        ]
        for m in sorted(wrong, key=lambda m: (m.is_clean, m.name))
    ]  # fmt: skip
    return markdown(
        ("model", "error", "verdict", "score", "excess ASR", "accused class", "target"), lines
    )


def seeds() -> str:
    """By seed of the inspection, over the models that all five have inspected."""
    models = flips.read([TABLES / f"{name}.csv" for name in (*EXAM, "exam-units-seeds")])
    return markdown(("seed", "found", "false alarms"), flips.by_seed(models))


def seeds_differing() -> str:
    """Models whose inspections do not all end alike."""
    models = flips.read([TABLES / f"{name}.csv" for name in (*EXAM, "exam-units-seeds")])
    took = {"True": "yes", "False": "no", "": "–"}
    lines = [
        [
            name, took[rows[0]["took"]],
            *(f"{row['verdict']} {float(row['score']):.2f}" for _, row in sorted(rows.items())),
        ]
        for name, rows in sorted(models.items())
        if flips.flipped(rows)
    ]  # fmt: skip
    return markdown(("model", "took", *(f"seed {seed}" for seed in range(5))), lines)


def published() -> str:
    """Each other detector beside ours, on the models that it was run on and that count."""
    compared = (
        ("`paper`, pictures of the task", EXAM, "exam-paper-units"),
        ("`paper`, built-in probes", BUILTIN, "exam-paper-units-builtin"),
        ("K-Arm, pictures of the task", EXAM, "exam-karm-units"),
        ("Neural Cleanse, pictures of the task", EXAM, "exam-nc-units"),
    )
    header = (
        "detector and probes", "found, ours", "false alarms, ours", "found", "false alarms",
        "AUROC, ours against theirs", "difference", "p", "our operations",
    )  # fmt: skip
    return markdown(header, [[name, *_compared(ours, other)] for name, ours, other in compared])


def _compared(ours: Sequence[str], table: str) -> list[str]:
    theirs = {model.name: model for model in models_of([table])}
    mine = [m for m in models_of(ours) if m.took and m.name in theirs]
    other = [theirs[model.name] for model in mine]
    test = paired(beside(mine, other))
    work = _flops(ours, {model.name for model in mine}) / _flops([table], set(theirs))
    return [
        *_split_counts(mine), *_split_counts(other), f"{test.first:.3f} against {test.second:.3f}",
        str(test.difference), f"{test.p:.4f}", f"{100 * work:.1f} %",
    ]  # fmt: skip


def _split_counts(models: Sequence[Model]) -> tuple[str, str]:
    return counts([m for m in models if not m.is_clean], [m for m in models if m.is_clean])


def _flops(names: Sequence[str], wanted: set[str]) -> float:
    """Encoder operations of these models, in sum."""
    total = 0.0
    for name in names:
        with (TABLES / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if f"{row['task']}-{row['seed']}-{row['kind']}" in wanted:
                    total += float(row["flops"])
    return total


def photos() -> str:
    """Every photograph model."""
    lines = [
        [
            m.task, m.kind, "–" if m.is_clean else "yes" if m.took else "no", _figure(m.excess),
            _figure(m.score), m.verdict, "–" if m.is_clean else "yes" if is_found(m) else "no",
        ]
        for m in sorted(models_of(["exam-photos-units"]), key=lambda m: (m.is_clean, not m.took, m.name))
    ]  # fmt: skip
    return markdown(("data set", "kind", "took", "excess ASR", "score", "verdict", "found"), lines)


def families(name: str) -> str:
    """One line a family: counts, AUROC, the scores that lie nearest to the threshold."""
    counted = [model for model in models_of([name]) if model.took]
    groups = [("all", counted)]
    for family in sorted({str(model.family) for model in counted}):
        groups.append((family, [model for model in counted if model.family == family]))
    lines = []
    for family, some in groups:
        attacked = sorted(_score(m) for m in some if not m.is_clean)
        clean = sorted((_score(m) for m in some if m.is_clean), reverse=True)
        lines.append([
            family, *_split_counts(some), str(auroc_estimate(some, scores_of(some, "score"))),
            _few(attacked), _few(clean),
        ])  # fmt: skip
    header = (
        "family", "found", "false alarms", "AUROC", "lowest scores of attacked", "highest of clean",
    )  # fmt: skip
    return markdown(header, lines)


def families_by_kind(name: str) -> str:
    """Found and missed by trigger, families together."""
    attacked = [m for m in models_of([name]) if m.took and not m.is_clean]
    lines = []
    for kind in sorted({model.kind for model in attacked}):
        of_kind = [model for model in attacked if model.kind == kind]
        missed = [f"{m.family} {m.task} ({_figure(m.score)})" for m in of_kind if not is_found(m)]
        lines.append([kind, counts(of_kind, [])[0], ", ".join(missed) or "–"])
    return markdown(("attack", "found", "missed (score)"), lines)


def peers() -> str:
    """Files of the hostile corpus by what each scanner says of them."""
    with (TABLES / "peers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    said = Counter((row["class"], tool, row[tool]) for row in rows for tool in SCANNERS)
    sizes = Counter(row["class"] for row in rows)
    lines = [
        [f"{sizes[kind]} {name}", tool, *(str(said[kind, tool, end]) for end in ENDS)]
        for kind, name in CORPUS.items()
        for tool in SCANNERS
    ]
    return markdown(
        ("files", "tool", *("called clean" if e == "clean" else e for e in ENDS)), lines
    )


def _score(model: Model) -> float:
    """Where there was no verdict, as bad as can be."""
    if model.score is not None:
        return model.score
    return float("inf") if model.is_clean else float("-inf")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _few(scores: Sequence[float]) -> str:
    return ", ".join(f"{score:.2f}" for score in scores[:3]) or "–"


def _class(index: int | None) -> str:
    return "–" if index is None else str(index)


BLOCKS: dict[str, Callable[[], str]] = {
    "exam": exam,
    "controls": controls,
    "errors": errors,
    "builtin": builtin,
    "published": published,
    "seeds": seeds,
    "seeds-differing": seeds_differing,
    "photographs": photos,
    "families": lambda: families("exam-families"),
    "families-by-attack": lambda: families_by_kind("exam-families"),
    "families-raced": lambda: families("exam-families-raced"),
    "families-raced-by-attack": lambda: families_by_kind("exam-families-raced"),
    "peers": peers,
}


def written(text: str) -> str:
    """The document with every table as its CSVs say.

    Raises:
        KeyError: a marker names no table.
    """
    return BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}", text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put RESULTS.md right")
    options = parser.parse_args(arguments)
    before = DOCUMENT.read_text("utf-8")
    after = written(before)
    if before == after:
        return 0
    old, new = ({b[2]: b[0] for b in BLOCK.finditer(text)} for text in (before, after))
    print("differ:", ", ".join(name for name in new if new[name] != old[name]))
    if not options.write:
        return 1
    DOCUMENT.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
