"""Tiny random backbones of the real architecture, written as a buyer would have them on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file

Kind = Literal["vit", "rn"]

_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
_VISION: dict[Kind, dict[str, Any]] = {
    "vit": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 8, "head_width": 64},
    "rn": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
}
PREPROCESSING = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.3, 0.2]}


def write_backbone(
    folder: Path,
    kind: Kind = "vit",
    seed: int = 0,
    embed_dim: int = 48,
    *,
    image_size: int | None = None,
    custom_text: bool = False,
) -> Path:
    """Write an open_clip folder with random weights that are exact in fp16, and give it back.

    `custom_text`: as open_clip's CustomTextCLIP, whose text tower lies one level down.
    """
    vision = _VISION[kind] | ({} if image_size is None else {"image_size": image_size})
    config = {
        "embed_dim": embed_dim,
        "quick_gelu": True,
        "vision_cfg": vision,
        "text_cfg": _TEXT,
    }
    torch.manual_seed(seed)
    model = (CustomTextCLIP if custom_text else CLIP)(**config)
    if custom_text:
        config["custom_text"] = True
    # Weights as they are initialised hardly react to their input; larger ones make a sharper test.
    state = {
        name: (tensor * 3 if tensor.ndim == 2 and "resblocks" in name else tensor).half()
        for name, tensor in model.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()},
        folder / "open_clip_model.safetensors",
    )
    described = {"model_cfg": config, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    return folder
