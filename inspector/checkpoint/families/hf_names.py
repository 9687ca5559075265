"""Where the tensors of Hugging Face's ``CLIPModel`` lie in OpenAI's layout.

The same weights under other names: queries, keys and values apart, both projections transposed,
``pre_layrnorm`` spelled so. transformers 4 and 5 use one spelling, so do
``CLIPVisionModelWithProjection`` and ``CLIPTextModelWithProjection`` for their tower. Knows names
only. Source: huggingface/transformers ``models/clip/modeling_clip.py`` and
``convert_clip_original_pytorch_to_hf.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from inspector.checkpoint.families.parts import Place

TABLE = "text_model.embeddings.token_embedding.weight"
COUNTERS = frozenset(f"{side}_model.embeddings.position_ids" for side in ("text", "vision"))
"""Written by transformers before 4.31; no forward pass needs them."""
JOINED = tuple(f"self_attn.{letter}_proj" for letter in "qkv")
BLOCK = re.compile(
    r"(text|vision)_model\.encoder\.layers\.([0-9]{1,3})\.([a-z0-9_.]+)\.(weight|bias)"
)
_TRANSPOSED = {
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}
_PLACES = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    TABLE: "token_embedding.weight",
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
_NORMS = {"layer_norm1": "ln_1", "layer_norm2": "ln_2"}
_LINEAR = {
    "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
_EMBEDDINGS = frozenset(
    {
        "text_model.embeddings.token_embedding",
        "text_model.embeddings.position_embedding",
        "vision_model.embeddings.position_embedding",
    }
)
_OTHERS = frozenset({"visual_projection", "text_projection"})
CONVOLUTION = "vision_model.embeddings.patch_embedding"


def place_of(name: str) -> Place | None:
    """Where the tensor called ``name`` lies, None where CLIP has no such tensor."""
    if name in _PLACES:
        return Place(_PLACES[name])
    if name in _TRANSPOSED:
        return Place(_TRANSPOSED[name], is_transposed=True)
    match = BLOCK.fullmatch(name)
    if match is None:
        return None
    tower, block, module, part = match.groups()
    inside = f"{_TOWERS[tower]}transformer.resblocks.{block}"
    if module in JOINED:
        return Place(f"{inside}.attn.in_proj_{part}", third=JOINED.index(module))
    inner = (_NORMS | _LINEAR).get(module)
    return None if inner is None else Place(f"{inside}.{inner}.{part}")


def is_linear(module: str) -> bool:
    """Whether ``CLIPModel`` has an ``nn.Linear`` of that name."""
    match = BLOCK.fullmatch(f"{module}.weight")
    return module in _OTHERS or (match is not None and match[3] in (*JOINED, *_LINEAR))


def is_embedding(module: str) -> bool:
    """Whether ``CLIPModel`` has an ``nn.Embedding`` of that name."""
    return module in _EMBEDDINGS


def is_adaptable(module: str) -> bool:
    """Whether the module of that name is linear, an embedding or the convolution."""
    return is_linear(module) or is_embedding(module) or module == CONVOLUTION


def adaptable(blocks: Mapping[str, int]) -> Iterator[str]:
    """All such modules of a model with so many blocks in the towers ``text`` and ``vision``."""
    for tower, count in blocks.items():
        for block in range(count):
            for module in (*JOINED, *_LINEAR):
                yield f"{tower}_model.encoder.layers.{block}.{module}"
        yield from (name for name in sorted(_EMBEDDINGS) if name.startswith(tower))
    if "vision" in blocks:
        yield from (CONVOLUTION, "visual_projection")
    if "text" in blocks:
        yield "text_projection"
