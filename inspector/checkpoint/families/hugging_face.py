"""Full fine-tuned CLIP as Hugging Face's ``CLIPModel`` names its tensors.

The same weights as OpenAI's under other names: queries, keys and values apart, both projections
transposed, ``pre_layrnorm`` spelled so. ``position_ids`` are counters. Templates and class names are
not in the file. Source: huggingface/transformers ``models/clip/modeling_clip.py`` and
``convert_clip_original_pytorch_to_hf.py``.
"""

from __future__ import annotations

import re

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensor, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import UnknownFamily

_TABLE = "text_model.embeddings.token_embedding.weight"
_COUNTERS = frozenset(f"{side}_model.embeddings.position_ids" for side in ("text", "vision"))
_TRANSPOSED = {
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}
_PLACES = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    _TABLE: "token_embedding.weight",
    "logit_scale": "logit_scale",
} | {
    f"{old}.{part}": f"{new}.{part}"
    for old, new in (
        ("vision_model.pre_layrnorm", "visual.ln_pre"),
        ("vision_model.post_layernorm", "visual.ln_post"),
        ("text_model.final_layer_norm", "ln_final"),
    )
    for part in ("weight", "bias")
}  # fmt: skip
_TOWERS = {"vision": "visual.", "text": ""}
_IN_BLOCK = {
    "self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
_BLOCK = re.compile(
    r"(text|vision)_model\.encoder\.layers\.([0-9]{1,3})\.([a-z0-9_.]+)\.(weight|bias)"
)
_JOINED = tuple(f"self_attn.{letter}_proj" for letter in "qkv")


def _options(shapes: Shapes) -> dict[str, Scalar]:
    odd = [name for name in shapes if FAMILY.knows(name) and not _is_known(name)]
    if odd:
        raise UnknownFamily(sorted(shapes), [FAMILY.name], f"{odd[0]} has no place in CLIP")
    expect(shapes, _TABLE, (None, None))
    for name in shapes:
        match = _BLOCK.fullmatch(name)
        if match is not None and match[3] in _JOINED:
            _expect_joined(shapes, name, match[3])
    vocabulary, width = shapes[_TABLE]
    return {"vocabulary": vocabulary, "width": width}


def _expect_joined(shapes: Shapes, name: str, module: str) -> None:
    """That queries, keys and values are all there and of one shape."""
    for other in _JOINED:
        sibling = name.replace(module, other)
        if sibling not in shapes:
            raise UnknownFamily(sorted(shapes), [FAMILY.name], f"{sibling} is missing")
        expect(shapes, sibling, shapes[name])


def _is_known(name: str) -> bool:
    if name in _PLACES or name in _TRANSPOSED or name in _COUNTERS:
        return True
    match = _BLOCK.fullmatch(name)
    return match is not None and (match[3] in _IN_BLOCK or match[3] in _JOINED)


def _parts(tensors: Tensors) -> Parts:
    weights: dict[str, tuple[Tensor, ...]] = {}
    for name, tensor in tensors.items():
        if name in _PLACES:
            weights[_PLACES[name]] = (tensor,)
        elif name in _TRANSPOSED:
            weights[_TRANSPOSED[name]] = (tensor.T,)
        elif match := _BLOCK.fullmatch(name):
            weights |= _of_block(match, tensors)
    return Parts(weights=weights)


def _of_block(match: re.Match[str], tensors: Tensors) -> dict[str, tuple[Tensor, ...]]:
    tower, block, module, part = match.groups()
    place = f"{_TOWERS[tower]}transformer.resblocks.{block}"
    if module in _IN_BLOCK:
        return {f"{place}.{_IN_BLOCK[module]}.{part}": (tensors[match.string],)}
    before = match.string.removesuffix(f"{module}.{part}")
    joined = tuple(tensors[f"{before}{projection}.{part}"] for projection in _JOINED)
    return {f"{place}.attn.in_proj_{part}": joined}


FAMILY = Family(
    name="CLIPModel",
    aliases=("CLIP",),
    required=frozenset({_TABLE, "visual_projection.weight", "text_projection.weight"}),
    optional=_COUNTERS | _PLACES.keys(),
    options=_options,
    parts=_parts,
    prefixes=("vision_model.", "text_model."),
    tunes=lambda name: True,
    beside=_COUNTERS,
)
