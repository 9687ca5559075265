"""The fixtures written by the original research code, which lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "conformance"
WITHOUT_CLASSES = ("VPT", "CLIP-Adapter", "CLIP-LoRA", "Tip-Adapter")
"""Methods whose files hold no class names."""


def cases() -> list[str]:
    """All cases; none when the fixtures are not there."""
    return [path.parent.name for path in sorted(FOLDER.glob("*/manifest.json"))]


def named_cases() -> list[str]:
    """Cases whose files hold class names."""
    return [case for case in cases() if manifest_of(case)["method"] not in WITHOUT_CLASSES]


def manifest_of(case: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((FOLDER / case / "manifest.json").read_text())
    return data


@pytest.fixture(autouse=True)
def _fixtures_are_there() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the conformance fixtures are not beside the project")
