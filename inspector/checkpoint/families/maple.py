"""MaPLe: text prompts of several layers, and projections of them into the image encoder.

The whole model is saved; ``prompt_learner.ctx`` (M, W) stands in the text input,
``compound_prompts_text.i`` (M, W) before text block i + 1, ``proj`` and
``compound_prompt_projections.i`` map them to width V of the image encoder. Depth 1 has no compound
keys. CoPrompt adds adapters. Source: muzairkhattak/multimodal-prompt-learning
``trainers/maple.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inspector.checkpoint.families.family import Family, Shapes, Start, expect
from inspector.checkpoint.families.parts import (
    Parts,
    Tensor,
    Tensors,
    at,
    half_rounded,
    numbered_tensors,
)
from inspector.checkpoint.families.whole import (
    ENCODERS,
    LEARNED_CONTEXT,
    LEARNER,
    TOKENS,
    learner_options,
    learner_parts,
    numbered,
)
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch

COMPOUND, PROJECTIONS = "compound_prompts_text", "compound_prompt_projections"
REQUIRED = frozenset(LEARNER + key for key in ("ctx", "proj.weight", "proj.bias"))
LEARNED: Mapping[str, Start] = {
    **LEARNED_CONTEXT,
    r"prompt_learner\.proj\..+": "layer",
    rf"prompt_learner\.{COMPOUND}\..+": "vectors",
    rf"prompt_learner\.{PROJECTIONS}\..+": "layer",
}
PREFIXES = (f"{LEARNER}{COMPOUND}.", f"{LEARNER}{PROJECTIONS}.", *ENCODERS)


def options_of(shapes: Shapes) -> dict[str, Scalar]:
    """Raises ShapeMismatch where prompts and projections do not fit together."""
    options = learner_options(shapes)
    n_ctx, width = shapes[f"{LEARNER}ctx"]
    expect(shapes, f"{LEARNER}proj.weight", (None, width))
    visual = shapes[f"{LEARNER}proj.weight"][0]
    expect(shapes, f"{LEARNER}proj.bias", (visual,))
    number = r"([0-9]{1,3})"
    texts = numbered(shapes, rf"prompt_learner\.{COMPOUND}\.{number}", (n_ctx, width), first=0)
    projection = rf"prompt_learner\.{PROJECTIONS}\.{number}"
    weights = numbered(shapes, rf"{projection}\.weight", (visual, width), first=0)
    biases = numbered(shapes, rf"{projection}\.bias", (visual,), first=0)
    if not len(texts) == len(weights) == len(biases):
        raise ShapeMismatch(f"{LEARNER}{PROJECTIONS}", f"{len(texts)} projections", (len(weights),))
    depth = 1 + len(texts)
    return {
        **options, "n_ctx_vision": n_ctx, "text_prompt_depth": depth, "image_prompt_depth": depth,
    }  # fmt: skip


def parts_of(tensors: Tensors) -> Parts:
    """The learner's context, deep text prompts, and what they become in the image encoder."""

    def projected(vectors: Tensor, name: str) -> Tensor:
        weight, bias = tensors[f"{LEARNER}{name}.weight"], tensors[f"{LEARNER}{name}.bias"]
        return half_rounded(vectors.float() @ weight.float().T + bias.float())

    texts = numbered_tensors(tensors, f"{LEARNER}{COMPOUND}.{{}}", first=0)
    visual = [projected(vectors, f"{PROJECTIONS}.{i}") for i, vectors in enumerate(texts)]
    return replace(
        learner_parts(tensors),
        text_prompts=at(1, [half_rounded(vectors) for vectors in texts]),
        visual_tokens=projected(tensors[f"{LEARNER}ctx"], "proj"),
        visual_prompts=at(1, visual),
    )


FAMILY = Family(
    name="MaPLe",
    aliases=(),
    required=REQUIRED,
    optional=TOKENS,
    options=options_of,
    parts=parts_of,
    prefixes=PREFIXES,
    learned=LEARNED,
)
