"""What families share that save the whole model: both encoders and, under its name, the learner.

Deep prompts are vectors that overwrite tokens before a transformer block, from block 1 on without a
gap. Knows no family. Source: muzairkhattak/multimodal-prompt-learning
``clip/model.py`` and ``trainers``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from inspector.checkpoint.families.coop import TOKEN_KEYS, context_options, context_parts
from inspector.checkpoint.families.family import Shapes, Start, expect
from inspector.checkpoint.families.parts import (
    Parts,
    Tensor,
    Tensors,
    at,
    half_rounded,
    numbered_tensors,
)
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch

LEARNER = "prompt_learner."
ENCODERS = ("image_encoder.", "text_encoder.", "logit_scale")
TOKENS = frozenset(LEARNER + key for key in TOKEN_KEYS)
VISUAL = "image_encoder.VPT"
LEARNED_INSIDE: Mapping[str, Start] = {
    VISUAL.replace(".", r"\."): "vectors",
    r"(image|text)_encoder\..+\.VPT_shallow": "vectors",
}
LEARNED_CONTEXT: Mapping[str, Start] = {r"prompt_learner\.ctx": "words"}


def learner_options(shapes: Shapes) -> dict[str, Scalar]:
    """What the prompt learner's context says. Raises ShapeMismatch."""
    own = {
        name.removeprefix(LEARNER): shape
        for name, shape in shapes.items()
        if name.startswith(LEARNER)
    }
    if len(own["ctx"]) != 2:
        raise ShapeMismatch(f"{LEARNER}ctx", "M x W", own["ctx"])
    return context_options(own)


def numbered(
    shapes: Shapes, pattern: str, expected: tuple[int | None, ...], first: int
) -> list[str]:
    """Names that match ``pattern`` in the order of their one number, all of shape ``expected``.

    Raises:
        ShapeMismatch: one of another shape, or numbers that do not count up from ``first``.
    """
    matches = [match for match in (re.fullmatch(pattern, name) for name in shapes) if match]
    names = [match.string for match in sorted(matches, key=lambda match: int(match[1]))]
    for name in names:
        expect(shapes, name, expected)
    numbers = sorted(int(match[1]) for match in matches)
    if numbers != list(range(first, first + len(numbers))):
        raise ShapeMismatch(names[-1], f"numbers from {first} without a gap", shapes[names[-1]])
    return names


def independent_options(shapes: Shapes) -> dict[str, Scalar]:
    """Depths of prompts that text and vision have of their own, as IVLP and VPT save them."""
    options: dict[str, Scalar] = {}
    for side in ("image", "text"):
        pattern = rf"{side}_encoder\.transformer\.resblocks\.([0-9]{{1,3}})\.VPT_shallow"
        names = numbered(shapes, pattern, (None, None), first=1)
        options[f"{side}_prompt_depth"] = 1 + len(names)
    if VISUAL in shapes:
        expect(shapes, VISUAL, (None, None))
        options["n_ctx_vision"] = shapes[VISUAL][0]
    elif options["image_prompt_depth"] != 1:
        raise ShapeMismatch(VISUAL, "M x W", ())
    else:
        options["image_prompt_depth"] = 0
    return options


def encoder_weights(tensors: Tensors, text: str = "text_encoder.") -> dict[str, tuple[Tensor, ...]]:
    """Weights of both encoders by their names in OpenAI's layout; prompts are left out."""
    places = {"image_encoder.": "visual.", text: "", "logit_scale": "logit_scale"}
    return {
        (place if place == name else place + name.removeprefix(prefix)): (tensor,)
        for name, tensor in tensors.items()
        for prefix, place in places.items()
        if name.startswith(prefix) and not name.endswith(("VPT", "VPT_shallow"))
    }


def learner_parts(tensors: Tensors, text: str = "text_encoder.") -> Parts:
    """The prompt learner's context and the encoders' weights."""
    own = {n.removeprefix(LEARNER): t for n, t in tensors.items() if n.startswith(LEARNER)}
    return replace(context_parts(own), weights=encoder_weights(tensors, text))


def with_independent(parts: Parts, tensors: Tensors) -> Parts:
    """``parts`` and the prompts that text and vision have of their own."""
    block = "_encoder.transformer.resblocks.{}.VPT_shallow"
    image, text = (numbered_tensors(tensors, side + block, first=1) for side in ("image", "text"))
    return replace(
        parts,
        text_prompts=at(1, [half_rounded(vectors) for vectors in text]),
        visual_tokens=half_rounded(tensors[VISUAL]) if VISUAL in tensors else None,
        visual_prompts=at(1, [half_rounded(vectors) for vectors in image]),
    )
