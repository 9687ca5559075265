"""What is inspected, by command lines such as a user types."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.golden.models import CLASSES, MAKERS, NAMES, SAMPLES


@dataclass(frozen=True)
class Case:
    """`options` of `inspect`; `pictures`: with a folder of own ones instead of the built-in probes."""

    name: str
    model: str
    options: tuple[str, ...] = ()
    pictures: bool = True

    def command(self, folder: Path, pictures: Path) -> list[str]:
        """The command line; the model is written below `folder`."""
        (folder / "model").mkdir(parents=True)
        artifact = MAKERS[self.model](folder / "model")
        line = ["inspect", str(artifact), "--backbone", "pocket", "--device", "cpu", "--json"]
        if self.model.startswith("sample-"):
            line += ["--manifest", str(SAMPLES / "manifest.json")]
        elif self.model in CLASSES:
            line += ["--classes", str(_listed(folder / "classes.txt", CLASSES[self.model]))]
        if self.pictures:
            line += ["--probes", str(pictures)]
        return [*line, "--out", str(folder / "out"), *self.options]


def _listed(path: Path, classes: int) -> Path:
    path.write_text("\n".join(NAMES[:classes]) + "\n")
    return path


QUICK, STANDARD = ("--profile", "quick"), ("--profile", "standard")
CASES = (
    Case("sample-clean, quick", "sample-clean", QUICK, pictures=False),
    Case("sample-clean, standard", "sample-clean", (*STANDARD, "--seed", "3")),
    Case("sample-backdoored, repaired", "sample-backdoored", (*QUICK, "--repair")),
    Case("sample-backdoored, in distribution", "sample-backdoored", (*QUICK, "--in-distribution")),
    Case("cocoop-two", "cocoop-two", QUICK),
    Case("cocoop-three", "cocoop-three", (*QUICK, "--seed", "5")),
    Case("cocoop-eight", "cocoop-eight", QUICK),
    Case("coop-two, paper", "coop-two", ("--profile", "paper")),
    Case("coop-six, three targets", "coop-six", (*QUICK, "--targets", "3")),
    Case("coop-specific", "coop-specific", (*QUICK, "--repair")),
    Case("maple", "maple", QUICK),
    Case("promptsrc, in distribution", "promptsrc", (*QUICK, "--in-distribution")),
    Case("clip-adapter", "clip-adapter", (*QUICK, "--seed", "11")),
    Case("clip-lora", "clip-lora", QUICK),
    Case("two models", "two-models", QUICK),
    Case("torn", "torn", QUICK),
    Case("unknown key, out of time", "bare", (*QUICK, "--budget", "0")),
)  # fmt: skip
BY_NAME = {case.name: case for case in CASES}


def written(path: Path, value: object) -> Path:
    """`value` as JSON that a reviewer can read line by line."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path
