"""Pictures for people: triggers at true scale and amplified, examples with and without.

Small images are enlarged without smoothing, so that every pixel can be seen. Knows no verdicts;
writes files and says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from inspector.files import sha256_of
from inspector.report import Target

_SMALLEST_SIDE = 256


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file in the inspection's folder, as the report's `artifacts` lists it."""

    name: str
    sha256: str
    media_type: str
    description: str

    @classmethod
    def at(cls, path: Path, media_type: str, description: str) -> KeptFile:
        """The file at `path` as it is now."""
        return cls(path.name, sha256_of(path), media_type, description)

    def to_json(self) -> dict[str, str]:
        """As the report's `artifacts` list it."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "media_type": self.media_type,
            "description": self.description,
        }


def draw_trigger(out: Path, target: Target, trigger: Tensor) -> list[KeptFile]:
    """A trigger (3, H, W): added to mid-grey, and stretched to the whole range."""
    index = target.index
    true_scale = _write(out / f"trigger-{index}.png", 0.5 + trigger)
    highest = trigger.abs().max().clamp(min=1 / 255)
    amplified = _write(out / f"trigger-{index}-amplified.png", 0.5 + trigger / (2 * highest))
    kind = f"reconstructed trigger towards class {index} ({target.name})"
    return [
        _kept(true_scale, f"{kind}, true scale, on mid-grey"),
        _kept(amplified, f"{kind}, amplified to the whole range"),
    ]


def draw_examples(
    out: Path, images: Tensor, shown: Mapping[str, tuple[str, Callable[[Tensor], Tensor]]]
) -> list[KeptFile]:
    """Probes (N, 3, H, W) in [0,1], as they are and as each of `shown` changes them.

    shown: by the end of the file's name, what to call it and the trigger.
    """
    files = []
    for index, image in enumerate(images):
        clean = _write(out / f"example-{index}-clean.png", image)
        files.append(_kept(clean, f"held-out probe {index} without trigger"))
        for name, (words, trigger) in shown.items():
            path = _write(out / f"example-{index}-{name}.png", trigger(image[None])[0])
            files.append(_kept(path, f"held-out probe {index} {words}"))
    return files


def _write(path: Path, pixels: Tensor) -> Path:
    """8 bits; whole-number enlargement to at least 256 pixels."""
    array = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    factor = -(-_SMALLEST_SIDE // min(array.shape[:2]))
    array = array.repeat(factor, axis=0).repeat(factor, axis=1)
    Image.fromarray(np.ascontiguousarray(array)).save(path, format="PNG")
    return path


def _kept(path: Path, description: str) -> KeptFile:
    return KeptFile.at(path, "image/png", description)
