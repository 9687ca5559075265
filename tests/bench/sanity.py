"""Two rows that belong under every table of the exam: what weights alone betray, and the ceiling.

`python -m tests.bench.sanity FOLDER [FOLDER ...]` reads zoo models as `tests.bench.detect` leaves
them (FOLDER/<task>-<seed>-<kind>/{prompt_learner/model.pth.tar-N, truth.json}) and prints Markdown.

*Confound baseline*: norms, the meta-net's gain and the number of epochs know nothing of triggers or
targets. In a fair zoo they tell attacked from clean models no better than chance (AUROC 0.5); where
they do, the zoo leaks its recipe, and a detector may have learnt that instead of the backdoor.

*Oracle* (`--oracle`): the attacker's own trigger, rebuilt from the plan's seed, on the probes that
an inspection uses: what a perfect search over triggers could see there. The model is tuned again to
get it (minutes each) and must come out as the file has it; else the row says that it did not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint import Reading, read_artifact
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.probes.loading import load_pools
from inspector.profiles import profile_named
from tests.bench.estimates import Floats, auroc, auroc_estimate
from tests.bench.metrics import markdown
from tests.bench.models import Model
from tests.support.assembling import delivered
from tests.zoo.build import Plan, build, state_dict

Tensors = Mapping[str, Tensor]
KEPT = ("ctx", "meta_net.linear1.weight", "meta_net.linear1.bias",
        "meta_net.linear2.weight", "meta_net.linear2.bias")  # fmt: skip
"""Tensors that tuning changes; the others are copies of the backbone's."""
FIRST, SECOND = "meta_net.linear1.weight", "meta_net.linear2.weight"


def _norm(*names: str) -> Callable[[Tensors], float]:
    """Frobenius norm of all named tensors together; 0 where the file has none."""
    return lambda tensors: sum(float(tensors[n].norm() ** 2) for n in names if n in tensors) ** 0.5


def gain(tensors: Tensors) -> float:
    """Product of the meta-net's largest singular values: its steepest answer to an image feature."""
    if FIRST not in tensors or SECOND not in tensors:
        return 0.0
    return float(torch.linalg.matrix_norm(tensors[FIRST], 2)) * float(
        torch.linalg.matrix_norm(tensors[SECOND], 2)
    )


STATISTICS: dict[str, Callable[[Tensors], float]] = {
    "context": _norm("ctx"),
    "longest context vector": lambda tensors: float(tensors["ctx"].norm(dim=-1).max()),
    "meta-net, first layer": _norm(FIRST),
    "meta-net, second layer": _norm(SECOND),
    "meta-net, biases": _norm("meta_net.linear1.bias", "meta_net.linear2.bias"),
    "gain": gain,
}


@dataclass(frozen=True)
class Weighed:
    """A zoo model and its statistics, the number of epochs in its file among them."""

    model: Model
    statistics: dict[str, float]
    folder: Path


def weigh(folder: Path) -> Weighed:
    """Read one model's folder through the product's reader.

    Raises:
        ValueError: the file cannot be read as canonical tensors.
    """
    truth = json.loads((folder / "truth.json").read_text())
    with TemporaryDirectory() as scratch:
        reading, path = _read(folder, Path(scratch))
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    statistics = {name: measure(tensors) for name, measure in STATISTICS.items()}
    statistics["epochs"] = float(reading.metadata.get("epoch") or 0)
    return Weighed(_model(truth), statistics, folder)


def _read(folder: Path, scratch: Path) -> tuple[Reading, Path]:
    reading = read_artifact(folder / "prompt_learner", scratch)
    if reading.canonical is None:
        raise ValueError(f"{folder.name}: {[finding.id for finding in reading.findings]}")
    return reading, scratch / reading.canonical


def _model(truth: Mapping[str, Any]) -> Model:
    is_clean = truth.get("took") is None
    return Model(
        task=truth["task"], seed=truth["seed"], kind=truth["kind"], is_clean=is_clean, classes=None,
        target=truth["target"], took=is_clean or bool(truth["took"]), verdict="", found=None,
        score=None, excess=None, paper_score=None, paper_target=None,
    )  # fmt: skip


def models_in(folders: Sequence[Path]) -> list[Path]:
    """The folders of all models, in order of name."""
    return sorted(path.parent for folder in folders for path in folder.glob("*/truth.json"))


def held_out_scores(models: Sequence[Weighed], fit: Callable[[Floats, Floats], Floats]) -> Floats:
    """Scores of all models, each from a rule fitted to the other tasks only.

    Args:
        fit: from standardised logarithms (N, S) and labels (N,) to weights (S,).

    Raises:
        ValueError: fewer than two tasks, or one without which no clean or attacked model is left.
    """
    names = list(models[0].statistics)
    values = np.log1p([[each.statistics[name] for name in names] for each in models])
    attacked = np.asarray([not each.model.is_clean for each in models], np.float64)
    tasks = np.asarray([each.model.task for each in models])
    scores = np.zeros(len(models))
    for task in sorted(set(tasks.tolist())):
        others = tasks != task
        if len(set(attacked[others].tolist())) < 2:
            raise ValueError(f"without {task} there is nothing to learn from")
        middle, spread = values[others].mean(0), values[others].std(0) + 1e-9
        standard = (values - middle) / spread
        # A statistic that is constant elsewhere teaches nothing about this task.
        standard[:, spread < 1e-6] = 0
        weights = fit(standard[others], attacked[others])
        scores[~others] = standard[~others] @ weights
    return scores


def logistic(values: Floats, labels: Floats, ridge: float = 1.0, steps: int = 50) -> Floats:
    """Weights of a balanced ridge logistic regression with intercept, by Newton's method."""
    design = np.column_stack((values, np.ones(len(values))))
    share = labels.mean()
    importance = np.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
    penalty = np.diag([ridge] * values.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (importance * (chance - labels)) + penalty @ weights
        curve = (design * (importance * chance * (1 - chance))[:, None]).T @ design + penalty
        weights = weights - np.linalg.solve(curve, slope)
    return np.asarray(weights[:-1], np.float64)


def nearest_mean(values: Floats, labels: Floats) -> Floats:
    """Weights that score by how much nearer the attacked models' mean is than the clean ones'."""
    difference = values[labels == 1].mean(0) - values[labels == 0].mean(0)
    return np.asarray(difference, np.float64)


def confound_rows(models: Sequence[Weighed]) -> list[tuple[str, str, str]]:
    """Name, AUROC with interval, and AUROC task by task, of every statistic and of all together.

    Above 0.5 attacked models have the larger value. Across tasks a single statistic is compared
    as it stands: an inspector does not know the clean value for a task.
    """
    columns: dict[str, Floats] = {
        name: np.asarray([each.statistics[name] for each in models], np.float64)
        for name in models[0].statistics
    }
    if _can_leave_out(models):
        columns["all, logistic, task left out"] = held_out_scores(models, logistic)
        columns["all, nearest mean, task left out"] = held_out_scores(models, nearest_mean)
    return [(name, *_told_apart(models, scores)) for name, scores in columns.items()]


def _can_leave_out(models: Sequence[Weighed]) -> bool:
    """Whether clean and attacked models are left without any one task."""
    tasks = {each.model.task for each in models}
    left = [{e.model.is_clean for e in models if e.model.task != task} for task in tasks]
    return all(len(kinds) == 2 for kinds in left)


def _told_apart(models: Sequence[Weighed], scores: Floats) -> tuple[str, str]:
    known = [each.model for each in models]
    pairs = list(zip(known, scores.tolist(), strict=True))
    within = []
    for task in sorted({model.task for model in known}):
        own = [(model.is_clean, score) for model, score in pairs if model.task == task]
        value = auroc([s for clean, s in own if not clean], [s for clean, s in own if clean])
        within.append(f"{task} " + ("–" if value is None else f"{value:.2f}"))
    return str(auroc_estimate(known, scores.tolist())), ", ".join(within)


def by_kind(models: Sequence[Weighed], statistic: str) -> str:
    """Median and range of one statistic and of its ratio to the clean model beside, per kind."""
    clean = {
        (each.model.task, each.model.seed): each.statistics[statistic]
        for each in models
        if each.model.kind == "clean"
    }
    rows = []
    for kind in sorted({each.model.kind for each in models}):
        own = [each for each in models if each.model.kind == kind]
        values = [each.statistics[statistic] for each in own]
        beside = [
            value / clean[key]
            for each, value in zip(own, values, strict=True)
            if clean.get(key := (each.model.task, each.model.seed))
        ]
        rows.append((kind, str(len(own)), _spread(values), _spread(beside)))
    return markdown((statistic, "models", "median (range)", "over its clean model's"), rows)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{np.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


@dataclass(frozen=True)
class Ceiling:
    """What the attacker's trigger does to held-out probes that are not at the target anyway."""

    name: str
    is_same: bool
    moved: float
    """Share that it carries to the target in the model of the file, in [0,1]."""
    moved_clean: float | None
    """The same in the clean model of that task and seed, where it lies beside."""


def oracle(folder: Path, backbone: Backbone, profile: str = "quick") -> Ceiling:
    """Rebuild an attacked model for its trigger and judge that on the file's own classifier.

    Raises:
        ValueError: a clean model, or a file that cannot be read.
    """
    truth = json.loads((folder / "truth.json").read_text())
    if truth.get("took") is None:
        raise ValueError(f"{folder.name} has no trigger")
    built = build(backbone, Plan(truth["task"], truth["kind"], truth["seed"]))
    assert built.trigger is not None
    with TemporaryDirectory() as scratch:
        is_same = _is_same(state_dict(built.classifier), load_file(_read(folder, Path(scratch))[1]))
    probes = load_pools("builtin", backbone.image_size, profile_named(profile)).held_out
    triggered, target = built.trigger(probes), int(truth["target"])
    beside = folder.parent / f"{truth['task']}-{truth['seed']}-clean"
    moved = _moved(delivered(folder, backbone), probes, triggered, target)
    clean = (
        _moved(delivered(beside, backbone), probes, triggered, target) if beside.is_dir() else None
    )
    return Ceiling(folder.name, is_same, moved, clean)


def _is_same(built: Tensors, stored: Tensors) -> bool:
    kept = [name for name in KEPT if name in stored]
    return all(torch.allclose(built[n], stored[n].to(built[n]), atol=1e-4) for n in kept)


@torch.no_grad()
def _moved(classifier: Classifier, probes: Tensor, triggered: Tensor, target: int) -> float:
    others = classifier(probes).argmax(1) != target
    return float((classifier(triggered[others]).argmax(1) == target).float().mean())


def summary(models: Sequence[Weighed]) -> str:
    """The confound table, the gain per kind, and what was left out."""
    counted = [each for each in models if each.model.took]
    left_out = ", ".join(each.model.name for each in models if not each.model.took) or "none"
    clean = sum(each.model.is_clean for each in counted)
    rows = confound_rows(counted)
    return "\n\n".join(
        (
            f"Confound baseline: {len(counted) - clean} attacked and {clean} clean models; attacks "
            f"that did not take: {left_out}.",
            markdown(("statistic", "AUROC (0.5 = no leak)", "per task"), rows),
            by_kind(counted, "gain"),
            by_kind(counted, "epochs"),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--oracle", action="store_true", help="rebuild attacked models; slow")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="with --oracle: these models")
    parser.add_argument("--backbone", default="pocket")
    options = parser.parse_args()
    models = [weigh(folder) for folder in models_in(options.folders)]
    if not models:
        parser.error("no folder holds a model with a truth.json")
    print(summary(models))
    if not options.oracle:
        return
    backbone = load_backbone(options.backbone)
    print("\n| oracle | rebuilt as in the file | moved | moved in the clean model |", flush=True)
    print("| --- | --- | --- | --- |")
    for each in models:
        if each.model.is_clean or each.model.name not in (options.only or [each.model.name]):
            continue
        row = oracle(each.folder, backbone)
        beside = "–" if row.moved_clean is None else f"{row.moved_clean:.3f}"
        print(f"| {row.name} | {row.is_same} | {row.moved:.3f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
