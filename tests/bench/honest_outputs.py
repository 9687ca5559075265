"""Scans what training tools really write: nobody honest may be accused (`clipvet scan` exits 1).

`python -m tests.bench.honest_outputs --python PYTHON [--plain PYTHON ...] [--out DIR]`

The environment of ``--python`` has torch, torchvision, numpy, lightning, pytorch-lightning, hydra-core,
omegaconf, accelerate, transformers, peft, timm, open_clip_torch, yacs, easydict, addict and
ml_collections; each ``--plain`` interpreter, from Python 3.7 on, needs nothing. Makers that have run are
not run again, so an interrupted bench goes on where it was; a maker whose package is missing is named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import Reading
from inspector.findings import Severity
from tests.bench.honest_makers import MAKERS

ROOT = Path(__file__).parents[2]
_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".safetensors")
_TIMEOUT_S = 600
_DONE = "made.txt"


def made(name: str, command: list[str], out: Path) -> Path | None:
    """The folder that ``command`` fills when it is given that folder; None when it fails."""
    folder = out / name
    if (folder / _DONE).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*command, str(folder)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S,
        check=False,
    )  # fmt: skip
    if done.returncode:
        print(f"{name}: not made: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return None
    (folder / _DONE).write_text(" ".join(command))
    return folder


def readings(folder: Path) -> Iterator[tuple[Path, Reading]]:
    """The folder itself and every checkpoint in it, as our reader reads them."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in _SUFFIXES]
    for path in (folder, *(file for file in files if file.is_file())):
        with TemporaryDirectory() as scratch:
            yield path, read_here(path, Path(scratch), ReaderOptions())


def accused(reading: Reading) -> list[str]:
    return [item.message for item in reading.findings if item.severity is Severity.CRITICAL]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="an interpreter that has the tools")
    parser.add_argument("--plain", nargs="*", default=[], help="interpreters of other versions")
    parser.add_argument("--out", type=Path, default=Path("var/honest"))
    wanted = parser.parse_args()
    out = wanted.out.resolve()
    makers: dict[str, list[str]] = {}
    if wanted.python:
        head = [wanted.python, "-m", "tests.bench.honest_makers"]
        makers |= {name: [*head, name] for name in MAKERS}
    for index, python in enumerate(wanted.plain):
        makers[f"plain-{index}"] = [python, "tests/bench/honest_plain.py"]
    count, wrong, missing = 0, 0, 0
    for name, command in makers.items():
        folder = made(name, command, out)
        missing += folder is None
        for path, reading in readings(folder) if folder else ():
            count += 1
            worst = max((item.severity for item in reading.findings), default=None)
            label = worst.label if worst is not None else "-"
            print(f"{path.relative_to(out)!s:55} {label:8} {reading.family or '-'}")
            for message in accused(reading):
                wrong += 1
                print(f"    accused: {message}")
    print(f"{count} read, {wrong} accused, {missing} makers failed")
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())
