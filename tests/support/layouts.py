"""Whole CLIP models under the names that different codes save them by.

OpenAI's names, which open_clip's own CLIP shares; the same with the text tower one level down
(open_clip's CustomTextCLIP); Hugging Face's, with queries, keys and values apart and both
projections transposed (transformers `models/clip/modeling_clip.py`); Dassl's whole models.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

_HUGGING_FACE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "visual.proj": "visual_projection.weight",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
_NORMS = {
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "ln_final": "text_model.final_layer_norm",
}
_MODULES = {
    "attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
}  # fmt: skip


def openai(model: Any) -> State:
    """A model's tensors by OpenAI's names, whichever class of open_clip it is."""
    return {
        name.removeprefix("text."): tensor.detach().clone()
        for name, tensor in model.state_dict().items()
    }


def custom_text(state: State) -> State:
    """OpenAI's names with the text tower below `text.`, as CustomTextCLIP has it."""
    return {
        name if name.startswith(("visual.", "logit_scale")) else f"text.{name}": tensor
        for name, tensor in state.items()
    }


def hugging_face(state: State) -> State:
    """A vision transformer's tensors by the names of `CLIPModel`."""
    renamed: State = {}
    for name, tensor in state.items():
        module, _, part = name.rpartition(".")
        block = re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)", name)
        if name in _HUGGING_FACE:
            is_projection = name in ("visual.proj", "text_projection")
            renamed[_HUGGING_FACE[name]] = tensor.T if is_projection else tensor
        elif module in _NORMS:
            renamed[f"{_NORMS[module]}.{part}"] = tensor
        elif block is not None:
            tower = "vision_model" if block[1] else "text_model"
            renamed |= _block(f"{tower}.encoder.layers.{block[2]}", block[3], tensor)
    return renamed


def _block(layer: str, inner: str, tensor: Tensor) -> State:
    if inner.startswith("attn.in_proj_"):
        part = inner.removeprefix("attn.in_proj_")
        thirds = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{layer}.self_attn.{letter}_proj.{part}": third for letter, third in thirds}
    module, _, part = inner.rpartition(".")
    return {f"{layer}.{_MODULES[module]}.{part}": tensor}


def dassl(state: State, text: str = "text_encoder.") -> State:
    """The encoders of a whole model as Dassl's trainers save them, without a token embedding."""
    return {
        name.replace("visual.", "image_encoder.", 1)
        if name.startswith("visual.")
        else name
        if name == "logit_scale"
        else text + name: tensor
        for name, tensor in state.items()
        if name != "token_embedding.weight"
    }


def tuned(state: State, seed: int = 1, by: float = 0.05) -> State:
    """Every weight moved by noise in proportion to its own size; counters stay."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor
        + torch.randn(tensor.shape, generator=generator) * (tensor.float().std(correction=0) * by)
        if tensor.is_floating_point() and "running_var" not in name
        else tensor
        for name, tensor in state.items()
    }
