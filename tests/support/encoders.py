"""Checkpoints with changed encoders on the tiny backbones, of every family that is repaired."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.checkpoint.families import recognise
from inspector.checkpoint.families.peft_config import STATEMENT
from inspector.checkpoint.reading import ArtifactInfo
from inspector.clip.backbone import Backbone
from inspector.clip.rebuilding import Delivered
from inspector.manifest import Manifest
from tests.support.layouts import State, custom_text, hugging_face, openai, tuned
from tests.support.peft import in_folder
from tests.support.vendors import random

NAMES = ["traffic_light", "tall ship", "owl"]
WORDS: dict[str, object] = {"classnames": NAMES, "template": "a photo of a {}."}
PEFT = Path(__file__).parents[1] / "unit" / "inspector" / "clip" / "data" / "peft"
LORA_SETTINGS = {"r": 2, "alpha": 3, "encoder": "both", "params": "q k v", "position": "all"}
Made = Callable[[Backbone], tuple[State, dict[str, object]]]
"""Canonical tensors of any shape, and what the file says beside them."""


def delivered(made: Made, folder: Path, backbone: Backbone, **manifest: object) -> Delivered:
    """What the reader and the assembly would make of such a file."""
    state, metadata = made(backbone)
    found = recognise({name: tuple(tensor.shape) for name, tensor in state.items()})
    reading = Reading(
        ArtifactInfo("model", None, 0, "safetensors"),
        family=found.family,
        options=found.options,
        metadata=metadata,  # type: ignore[arg-type]
    )
    path = folder / "canonical.safetensors"
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, path)
    return Delivered.read(reading, path, Manifest.parse({**WORDS, **manifest}), backbone)


def _whole(layout: Callable[[State], State]) -> Made:
    return lambda backbone: (layout(tuned(openai(backbone.model), by=0.3)), {})


def _lora(backbone: Backbone) -> tuple[State, dict[str, object]]:
    blocks = (
        len(backbone.model.transformer.resblocks),
        len(backbone.model.visual.transformer.resblocks),
    )
    state: State = {}
    for layer in range(sum(blocks)):
        for place, letter in enumerate(("q_proj", "k_proj", "v_proj", "proj")):
            name, width, seed = f"layer_{layer}.{letter}", 64, 10 * layer + place
            state[f"{name}.w_lora_A"] = random(2, width, seed=seed, scale=1 / math.sqrt(width))
            state[f"{name}.w_lora_B"] = random(width, 2, seed=seed + 5, scale=0.3)
    return state, dict(LORA_SETTINGS)


def _peft(case: str) -> Made:
    def made(_: Backbone) -> tuple[State, dict[str, object]]:
        tensors, raw = in_folder(PEFT / case)
        return {**tensors, STATEMENT: torch.frombuffer(bytearray(raw), dtype=torch.uint8)}, {}

    return made


def _adapter(backbone: Backbone) -> tuple[State, dict[str, object]]:
    size = backbone.embed_dim
    first, second = random(size // 4, size, seed=1), random(size, size // 4, seed=2)
    return {"fc.0.weight": first, "fc.2.weight": second}, {}


def _cache(backbone: Backbone) -> tuple[State, dict[str, object]]:
    keys = torch.nn.functional.normalize(random(6, backbone.embed_dim, seed=3), dim=-1)
    labels = torch.nn.functional.one_hot(torch.arange(3).repeat(2)).half()
    return {"keys": keys.T.contiguous(), "values": labels}, {}


TUNABLE: dict[str, Made] = {
    "openai": _whole(dict),
    "custom text": _whole(custom_text),
    "hugging face": _whole(hugging_face),
    "lora": _lora,
    "peft": _peft("patterns"),
    "peft dora": _peft("dora"),
    "peft copies": _peft("copies"),
    "adapter": _adapter,
}
RESTORABLE: dict[str, Made] = {**TUNABLE, "cache": _cache}
CACHED: dict[str, object] = {"alpha": 4.5, "beta": 1.3}
"""What the manifest of a cache must say."""


def of(name: str, folder: Path, backbone: Backbone) -> Delivered:
    """One of RESTORABLE."""
    stated = CACHED if name == "cache" else {}
    return delivered(RESTORABLE[name], folder, backbone, **stated)


def pixels_and_words(backbone: Backbone, count: int) -> tuple[Tensor, list[str]]:
    """Pictures (N, 3, S, S) in [0,1] with a fifth of them to a caption."""
    size = backbone.image_size
    pixels = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(4))
    return pixels, [f"a photo of thing {index % 5}." for index in range(count)]
