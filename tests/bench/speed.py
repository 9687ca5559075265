"""What a model costs us and every baseline, in one run: encoder work, seconds, achieved speed.

`python -m tests.bench.speed` inspects one clean and one attacked model with our profiles and runs all
baselines on them, then prints Markdown. Models are built under `--work` if they are not there (minutes)
or given with `--models`. Operations are those of `inspector.detection.cost`: passes times what one costs. Seconds are wall-clock and include whatever is not an encoder pass.

A baseline that is too dear is run on a share of its steps and on half of that (`--scale nc=0.1`);
passes that grow between them are multiplied, others (screening, measuring) are not, seconds grow as
operations do, and the row says so. Steps are whole numbers, so take shares that halve well (`paper` has 32 a class, `nc` and `pixel`
160, `mmbd` 300). An early end is not foreseen: such figures are too large rather than too small.

The peak is the best of several products of square fp32 matrices on the same device and threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from inspector.checkpoint import read_artifact
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier, Work
from inspector.detection.pools import Pools
from inspector.profiles import radius
from inspector.run.flops import operations
from inspector.run.pipeline import Request, inspect_reading
from tests.bench.baselines.__main__ import METHODS, timed
from tests.bench.baselines.common import Setting
from tests.bench.baselines.paper import PROFILE
from tests.bench.baselines.zoo import ZooModel, models_in, pools_for
from tests.bench.metrics import markdown
from tests.zoo.build import Plan, build, save

OURS = ("quick", "standard")
KINDS = ("clean", "blended")
HEADER = (
    "model", "method", "images fwd/bwd", "prompts fwd/bwd", "image TFLOP", "text TFLOP",
    "total TFLOP", "of paper", "seconds", "GFLOP/s", "of peak", "scale",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Passes of one run."""

    model: str
    method: str
    work: Work
    seconds: float
    scale: float = 1.0


def matmul_peak(device: torch.device) -> float:
    """Floating-point operations a second of the fastest of several fp32 matrix products."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best


def ours(model: ZooModel, options: argparse.Namespace, profile: str) -> Cost:
    """One inspection as the command line makes it."""
    request = Request(
        backbone=options.backbone,
        manifest=model.manifest,
        profile=profile,
        probes=options.probes,
        device=options.device,
    )
    with TemporaryDirectory() as scratch:
        reading = read_artifact(model.folder / "prompt_learner", Path(scratch))
        canonical = Path(scratch) / str(reading.canonical)
        started = time.perf_counter()
        report = inspect_reading(request, reading, canonical, Path(scratch), lambda _: None)
        seconds = time.perf_counter() - started
    budget = report["budget"]
    work = Work(**{name: budget[name] for name in vars(Work())})
    return Cost(model.folder.name, profile, work, seconds)


def baseline(model: ZooModel, options: argparse.Namespace, method: str, backbone: Backbone) -> Cost:
    """One baseline; the figures are for all of its steps."""
    scale = options.scales.get(method, 1.0)
    pools = pools_for(backbone, options.probes, PROFILE.probes)
    work, seconds = _spent(model, method, backbone, pools, scale)
    if scale < 1:
        half, _ = _spent(model, method, backbone, pools, scale / 2)
        measured = work
        work = Work(
            **{name: round(whole(n, vars(half)[name], scale)) for name, n in vars(work).items()}
        )
        classifier = model.classifier(backbone)
        seconds *= operations(classifier, work) / operations(classifier, measured)
    return Cost(model.folder.name, method, work, seconds, scale)


def whole(spent: float, at_half: float, scale: float) -> float:
    """Passes of all steps, from those of a share of them and of half of that share: a fixed part,
    and one that grows with the steps."""
    growing = 2 * (spent - at_half)
    return spent - growing + growing / scale


def _spent(
    model: ZooModel, method: str, backbone: Backbone, pools: Pools, scale: float
) -> tuple[Work, float]:
    classifier = model.classifier(backbone)
    setting = Setting(radius(backbone.image_size, backbone.sha256), scale)
    _, seconds = timed(method, classifier, pools, setting)
    return classifier.work, seconds


def rows_of(
    costs: Sequence[Cost], classifiers: dict[str, Classifier], peak: float
) -> list[list[str]]:
    """As in HEADER; `of paper` is against the `paper` row of the same model."""
    totals = {
        (cost.model, cost.method): operations(classifiers[cost.model], cost.work) for cost in costs
    }
    rows = []
    for cost in costs:
        classifier, work = classifiers[cost.model], cost.work
        images = Work(image_forward=work.image_forward, image_backward=work.image_backward)
        texts = Work(text_tokens=work.text_tokens)
        parts = (images, texts)
        total = totals[cost.model, cost.method]
        published = totals.get((cost.model, "paper"))
        speed = total / cost.seconds
        rows.append(
            [
                cost.model,
                cost.method,
                f"{work.image_forward} / {work.image_backward}",
                f"{work.text_forward} / {work.text_backward}",
                *(f"{operations(classifier, part) / 1e12:.3f}" for part in parts),
                f"{total / 1e12:.3f}",
                f"{total / published:.2f}" if published else "–",
                f"{cost.seconds:.1f}",
                f"{speed / 1e9:.1f}",
                f"{speed / peak:.0%}",
                "1" if cost.scale == 1 else f"{cost.scale:g}, extrapolated",
            ]
        )
    return rows


def models_for(options: argparse.Namespace, backbone: Backbone) -> list[ZooModel]:
    """The models given, else one of each kind, built where it is missing."""
    if options.models:
        return models_in(options.models)
    task, seed = options.plan.split(":")
    folders = [options.work / f"{task}-{seed}-{kind}" for kind in KINDS]
    for folder, kind in zip(folders, KINDS, strict=True):
        if not (folder / "truth.json").is_file():
            save(build(backbone, Plan(task, kind, int(seed))), backbone, folder)
    return models_in(folders)


def _scale(text: str) -> tuple[str, float]:
    method, _, share = text.partition("=")
    if method not in METHODS or not 0 < float(share) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not METHOD=SHARE with a share up to 1")
    return method, float(share)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.speed", description=__doc__)
    parser.add_argument("--models", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--plan", default="places5:1001", metavar="TASK:SEED")
    parser.add_argument("--work", type=Path, default=Path("var/speed"))
    parser.add_argument("--profiles", nargs="*", default=OURS)
    parser.add_argument("--methods", nargs="*", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--scale", nargs="+", type=_scale, default=[], metavar="METHOD=SHARE")
    parser.add_argument("--probes", default="builtin")
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    options.scales = dict(options.scale)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    backbone = load_backbone(options.backbone, options.device)
    models = models_for(options, backbone)
    classifiers = {model.folder.name: model.classifier(backbone) for model in models}
    costs = []
    for model in models:
        for method in options.methods:
            costs.append(baseline(model, options, method, backbone))
            print(f"{model.folder.name} {method}: {costs[-1].seconds:.1f} s", flush=True)
        for profile in options.profiles:
            costs.append(ours(model, options, profile))
            print(f"{model.folder.name} {profile}: {costs[-1].seconds:.1f} s", flush=True)
    peak = matmul_peak(backbone.device)
    threads = torch.get_num_threads()
    print(f"\n{backbone.device.type}, fp32, {threads} thread(s), peak {peak / 1e9:.1f} GFLOP/s\n")
    print(markdown(HEADER, rows_of(costs, classifiers, peak)))


if __name__ == "__main__":
    main()
