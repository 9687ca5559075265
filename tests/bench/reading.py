"""What reading costs: a 600 MB whole-model file beside ``sha256sum`` and ``cp``, a 2 MB file's scan.

``python -m tests.bench.reading [--rounds N]`` makes the files from a fixed seed in a temporary
folder: a MaPLe checkpoint with both encoders of a ViT-B/16 in fp32, saved as Dassl does, and a CoOp
checkpoint. Then it alternates, N times, ``sha256sum FILE`` and ``cp FILE COPY`` with
``read_artifact`` in a fresh process, on the same file with the page cache warm for both. Prints
every round, the medians with their ratio and the peak memory, and exits 1 where a bound is missed.

Seconds are wall-clock. Peaks are ``ru_maxrss`` of the reading child and of its parent; this process
stays small and starts them with torch unloaded, because Linux counts the memory of the process
that a child was forked from. Does not judge what is read beyond family and findings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from inspector.checkpoint import read_artifact

LAYERS, WIDTH, TEXT_WIDTH, TOKENS = 12, 768, 512, 77
DEPTH, N_CTX, NUM_CLASSES, SEED = 9, 2, 580, 2026
MOST_RATIO, MOST_PEAK_BYTES, MOST_SCAN_S = 2.0, 200 * 10**6, 1.0


def tower_shapes(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    """The blocks of one CLIP transformer: names and shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        block = f"{prefix}.resblocks.{layer}"
        shapes |= {
            f"{block}.attn.in_proj_weight": (3 * width, width),
            f"{block}.attn.in_proj_bias": (3 * width,),
            f"{block}.attn.out_proj.weight": (width, width),
            f"{block}.attn.out_proj.bias": (width,),
            f"{block}.mlp.c_fc.weight": (4 * width, width),
            f"{block}.mlp.c_fc.bias": (4 * width,),
            f"{block}.mlp.c_proj.weight": (width, 4 * width),
            f"{block}.mlp.c_proj.bias": (width,),
        }
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
    return shapes


def model_shapes() -> dict[str, tuple[int, ...]]:
    """Everything but ``token_*`` that MaPLe saves with a ViT-B/16, depth 9 and two vectors."""
    image, text, learner = "image_encoder", "text_encoder", "prompt_learner"
    shapes: dict[str, tuple[int, ...]] = {
        f"{learner}.ctx": (N_CTX, TEXT_WIDTH),
        f"{learner}.proj.weight": (WIDTH, TEXT_WIDTH),
        f"{learner}.proj.bias": (WIDTH,),
        f"{image}.class_embedding": (WIDTH,),
        f"{image}.positional_embedding": (197, WIDTH),
        f"{image}.proj": (WIDTH, TEXT_WIDTH),
        f"{image}.conv1.weight": (WIDTH, 3, 16, 16),
        f"{text}.positional_embedding": (TOKENS, TEXT_WIDTH),
        f"{text}.text_projection": (TEXT_WIDTH, TEXT_WIDTH),
        "logit_scale": (),
    }
    norms = {f"{image}.ln_pre": WIDTH, f"{image}.ln_post": WIDTH, f"{text}.ln_final": TEXT_WIDTH}
    for norm, width in norms.items():
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for index in range(DEPTH - 1):
        projection = f"{learner}.compound_prompt_projections.{index}"
        shapes |= {
            f"{learner}.compound_prompts_text.{index}": (N_CTX, TEXT_WIDTH),
            f"{projection}.weight": (WIDTH, TEXT_WIDTH),
            f"{projection}.bias": (WIDTH,),
        }
    shapes |= tower_shapes(f"{image}.transformer", WIDTH)
    return shapes | tower_shapes(f"{text}.transformer", TEXT_WIDTH)


def build(folder: Path) -> None:
    """Write ``model.pth.tar-5`` (600 MB, MaPLe) and ``small.pth.tar-5`` (2 MB, CoOp)."""
    import torch

    from tests.support.checkpoints import coop_state, save_dassl

    generator = torch.Generator().manual_seed(SEED)
    state = {
        name: torch.randn(shape, generator=generator) * 0.02
        for name, shape in model_shapes().items()
    }
    embedding = torch.randn(NUM_CLASSES, TOKENS, TEXT_WIDTH, generator=generator) * 0.02
    state["prompt_learner.token_prefix"] = embedding[:, :1]
    state["prompt_learner.token_suffix"] = embedding[:, 1 + N_CTX :]
    content = {"state_dict": state, "epoch": 5, "val_result": None}
    torch.save(content, folder / "model.pth.tar-5")
    save_dassl(folder / "small.pth.tar-5", coop_state(12, 16, TEXT_WIDTH, seed=SEED), 5)


def read_once(path: Path, out: Path) -> None:
    """Read ``path`` and print seconds, peaks in bytes, family and findings as JSON."""
    start = perf_counter()
    reading = read_artifact(path, out)
    seconds = perf_counter() - start
    peaks = [
        1024 * resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
    ]
    ids = [finding.id for finding in reading.findings]
    print(json.dumps([seconds, *peaks, reading.family, ids]))


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def hash_here(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def measure_reading(path: Path, folder: Path, rounds: int) -> bool:
    """One row a round, then the medians; whether both bounds are kept."""
    out, copy = folder / "out", folder / "copy"
    print(f"{path.stat().st_size} bytes\n")
    print("| round | sha256sum s | cp s | hashlib s | read_artifact s | child MB | parent MB |")
    print("|---|---|---|---|---|---|---|")
    yardsticks, readings, peaks = [], [], []
    hash_here(path)
    for index in range(rounds):
        hashed = timed(lambda: run("sha256sum", path))
        copied = timed(lambda: run("cp", path, copy))
        copy.unlink()
        library = timed(lambda: hash_here(path))
        answer = run(sys.executable, "-m", "tests.bench.reading", "--read", path, out)
        seconds, child, parent, family, findings = json.loads(answer)
        if (family, findings) != ("MaPLe", []):
            raise SystemExit(f"read as {family} with {findings}")
        (out / "canonical.safetensors").unlink()
        yardsticks.append((hashed, copied, library))
        readings.append(seconds)
        peaks.append(max(child, parent))
        figures = f"{hashed:.2f} | {copied:.2f} | {library:.2f} | {seconds:.2f}"
        print(f"| {index + 1} | {figures} | {child / 1e6:.0f} | {parent / 1e6:.0f} |", flush=True)
    hashed, copied, library = (median(column) for column in zip(*yardsticks, strict=True))
    seconds = median(readings)
    ratio, strict = seconds / (hashed + copied), seconds / (library + copied)
    print(f"\nratio to sha256sum + cp: {ratio:.2f} (to hashlib's SHA-256 + cp: {strict:.2f})")
    print(f"peak: {max(peaks) / 1e6:.0f} MB")
    return bool(ratio <= MOST_RATIO and max(peaks) <= MOST_PEAK_BYTES)


def measure_scan(path: Path, rounds: int) -> bool:
    """The console script beside this Python, start included; whether the bound is kept."""
    clipvet = Path(sys.executable).with_name("clipvet")
    times = [timed(lambda: run(clipvet, "scan", path, "--json")) for _ in range(rounds)]
    size = path.stat().st_size
    print(f"\nscan of {size} bytes: median {median(times):.2f} s, slowest {max(times):.2f} s")
    return max(times) <= MOST_SCAN_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.build:
        build(wanted.build)
        return
    if wanted.read:
        read_once(*wanted.read)
        return
    with TemporaryDirectory(prefix="clipvet-bench-") as name:
        folder = Path(name)
        run(sys.executable, "-m", "tests.bench.reading", "--build", folder)
        kept = [
            measure_reading(folder / "model.pth.tar-5", folder, wanted.rounds),
            measure_scan(folder / "small.pth.tar-5", wanted.rounds),
        ]
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
