"""Run baselines on zoo models: one CSV row a model and method, then a table.

`python -m tests.bench.baselines FOLDER [FOLDER ...] --method paper [nc ...] --out DIR`. A FOLDER is a
model or holds models (`<task>-<seed>-<kind>/{prompt_learner,manifest.json,truth.json}`). Resumable: a
model whose row stands in DIR/<method>.csv is not run again. `--scale` below 1 makes a smoke test of a
method, `--images` and `--objective` the paper's ablations; each has its own file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.detection.pools import Pools
from inspector.profiles import radius
from tests.bench.baselines.common import Method, Result, Setting
from tests.bench.baselines.k_arm import k_arm
from tests.bench.baselines.mm_bd import mm_bd
from tests.bench.baselines.neural_cleanse import neural_cleanse
from tests.bench.baselines.paper import PROFILE, paper
from tests.bench.baselines.pixel_backdoor import pixel_backdoor
from tests.bench.baselines.table import append, key_of, read, row_of, summary
from tests.bench.baselines.zoo import ZooModel, models_in, pools_for

METHODS: dict[str, Method] = {
    "paper": paper,
    "nc": neural_cleanse,
    "pixel": pixel_backdoor,
    "karm": k_arm,
    "mmbd": mm_bd,
}


def timed(
    method: str, classifier: Classifier, pools: Pools, setting: Setting
) -> tuple[Result, float]:
    """The result and wall-clock seconds of one method."""
    started = time.perf_counter()
    result = METHODS[method](classifier, pools, setting)
    if classifier.backbone.device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


def run(
    models: Sequence[ZooModel],
    table: Path,
    method: str,
    backbone: Backbone,
    pools_of: Callable[[ZooModel], Pools],
    setting: Setting,
) -> int:
    """Run a method on the models that have no row yet; how many were run."""
    done = {key_of(row) for row in read(table)}
    missing = [model for model in models if model.key not in done]
    for model in missing:
        classifier, pools = model.classifier(backbone), pools_of(model)
        result, seconds = timed(method, classifier, pools, setting)
        images = len(pools.optimisation)
        row = row_of(model, classifier, result, seconds, setting.scale, images)
        append(table, row)
        shown = ("task", "seed", "kind", "score", "flagged", "top", "target", "seconds")
        print(table.stem, {name: row[name] for name in shown}, flush=True)
    return len(missing)


def name_of(method: str, options: argparse.Namespace) -> str:
    """The stem of a method's CSV: its name and whatever is not as published."""
    parts = [method]
    if options.images != PROFILE.probes and method != "mmbd":
        parts.append(f"{options.images}-images")
    if method == "paper" and options.objective != "margin":
        parts.append(options.objective)
    if options.scale != 1:
        parts.append(f"scale-{options.scale:g}")
    if options.seed:
        parts.append(f"seed-{options.seed}")
    if options.own:
        parts.append("own")
    return "-".join(parts)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="tests.bench.baselines", description=__doc__)
    made.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    made.add_argument("--method", nargs="+", choices=tuple(METHODS), default=["paper"])
    made.add_argument("--out", type=Path, default=Path("var/baselines"))
    made.add_argument("--scale", type=float, default=1.0, help="share of the published steps")
    made.add_argument("--images", type=int, default=PROFILE.probes, help="to search on")
    made.add_argument("--objective", choices=("margin", "logit", "entropy"), default="margin")
    made.add_argument("--probes", default="builtin")
    made.add_argument("--own", type=Path, help="probes are OWN/<task>: `tests.zoo.pictures`")
    made.add_argument("--backbone", default="pocket")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--seed", type=int, default=0)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if not 0 < options.scale <= 1:
        raise SystemExit("--scale is a share, above 0 and at most 1")
    models = models_in(options.folders)
    if not models:
        raise SystemExit("no folder holds a model with a truth.json")
    backbone = load_backbone(options.backbone, options.device)
    epsilon = radius(backbone.image_size, backbone.sha256)
    setting = Setting(epsilon, options.scale, options.seed, options.objective)

    @cache
    def pools_at(probes: str) -> Pools:
        return pools_for(backbone, probes, options.images)

    def pools_of(model: ZooModel) -> Pools:
        return pools_at(str(options.own / model.truth["task"]) if options.own else options.probes)

    tables = [options.out / f"{name_of(method, options)}.csv" for method in options.method]
    for method, table in zip(options.method, tables, strict=True):
        run(models, table, method, backbone, pools_of, setting)
    print(f"\n{summary(tables)}")
    if setting.scale != 1:
        print(f"\nScale {setting.scale:g}: not the published number of steps.")


if __name__ == "__main__":
    main()
