"""Low-rank changes merged into a copy of the backbone's attention weights.

W + alpha / sqrt(r) B A for every adapted matrix; queries, keys and values are row blocks of
`in_proj_weight`. Which blocks are adapted is said by two words that the file keeps beside the
matrices. Source: MaxZanella/CLIP-LoRA `loralib/{layers,utils}.py`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inspector.checkpoint.reading import Scalar
from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch

_BLOCKS = {
    "bottom": range(4), "mid": range(4, 8), "up": range(8, 12), "half-up": range(6, 12),
    "half-bottom": range(6), "top3": range(9, 12), "all": range(1_000),
}  # fmt: skip
_SIDES = {"text": ("text",), "vision": ("vision",), "both": ("text", "vision")}
ROWS = {"q_proj": 0, "k_proj": 1, "v_proj": 2}
"""Which third of a block's joint weights a projection is."""


def merged(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, Scalar], backbone: Backbone
) -> Any:
    """A copy of the backbone's model with the changes added.

    Raises:
        AssemblyError: settings that are missing or unknown, values that are not finite.
        BackboneMismatch: as many layers, or widths, as the backbone does not have.
    """
    model = copy.deepcopy(backbone.model)
    blocks = adapted(model, metadata, backbone)
    count = len({name.split(".")[0] for name in tensors})
    if count != len(blocks):
        raise BackboneMismatch(
            f"the file changes {count} blocks, its settings name {len(blocks)} of {backbone.id!r}"
        )
    alpha = alpha_of(metadata)
    with torch.no_grad():
        for name in sorted({name.rpartition(".")[0] for name in tensors}):
            layer, projection = name.split(".")
            block = blocks[int(layer.removeprefix("layer_"))]
            _add(block.attn, projection, _change(tensors, name, alpha))
    return model.eval().requires_grad_(False)


def adapted(model: Any, metadata: Mapping[str, Scalar], backbone: Backbone) -> list[Any]:
    """The blocks of a model like the backbone's that are changed, in the file's order.

    Raises:
        AssemblyError, BackboneMismatch: see `merged`.
    """
    encoder, position = metadata.get("encoder"), metadata.get("position")
    if encoder not in _SIDES or position not in _BLOCKS:
        raise AssemblyError(f"unknown LoRA settings: encoder {encoder!r}, position {position!r}")
    if getattr(model.visual, "transformer", None) is None and encoder != "text":
        raise BackboneMismatch(
            f"LoRA in the image encoder needs a vision transformer, {backbone.id!r} has none"
        )
    transformers = {"text": getattr(model, "text", model), "vision": model.visual}
    return [
        block
        for side in _SIDES[encoder]
        for index, block in enumerate(transformers[side].transformer.resblocks)
        if index in _BLOCKS[position]
    ]


def alpha_of(metadata: Mapping[str, Scalar]) -> float:
    """The file's alpha. Raises AssemblyError where it says none."""
    alpha = metadata.get("alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise AssemblyError("the file does not say its LoRA alpha")
    return float(alpha)


def _change(tensors: Mapping[str, Tensor], name: str, alpha: float) -> Tensor:
    down, up = tensors[f"{name}.w_lora_A"].float(), tensors[f"{name}.w_lora_B"].float()
    change = alpha / math.sqrt(len(down)) * up @ down
    if not bool(torch.isfinite(change).all()):
        raise AssemblyError(f"{name} holds NaN or infinity, so there are no logits")
    return change


def _add(attention: Any, projection: str, change: Tensor) -> None:
    width = attention.embed_dim
    if change.shape != (width, width):
        raise BackboneMismatch(
            f"a LoRA change of {projection} has shape {tuple(change.shape)}, the block's width is "
            f"{width}"
        )
    change = change.to(attention.out_proj.weight.device)
    if projection == "proj":
        attention.out_proj.weight += change
    else:
        start = ROWS[projection] * width
        attention.in_proj_weight[start : start + width] += change
