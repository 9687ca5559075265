"""The fixtures written by the original research code, which lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "conformance"
METHODS = (
    "CoOp", "CoCoOp", "KgCoOp", "ProGrad", "BadCLIP", "MaPLe", "CoPrompt", "IVLP", "PromptSRC", "VPT",
    "CLIP-Adapter", "CLIP-LoRA", "TCP",
)  # fmt: skip
WITHOUT_CLASSES = ("VPT", "CLIP-Adapter", "CLIP-LoRA")
"""Methods whose files hold no class names."""


def cases() -> list[str]:
    """Cases of the methods that are supported; none when the fixtures are not there."""
    manifests = {path.parent.name: json.loads(path.read_text()) for path in _manifests()}
    return sorted(name for name, data in manifests.items() if data["method"] in METHODS)


def named_cases() -> list[str]:
    """Supported cases whose files hold class names."""
    return [case for case in cases() if manifest_of(case)["method"] not in WITHOUT_CLASSES]


def _manifests() -> list[Path]:
    return sorted(FOLDER.glob("*/manifest.json"))


def manifest_of(case: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((FOLDER / case / "manifest.json").read_text())
    return data


@pytest.fixture(autouse=True)
def _fixtures_are_there() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the conformance fixtures are not beside the project")
