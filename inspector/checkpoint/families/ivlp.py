"""IVLP: prompts of several layers in both encoders, independent of each other.

The whole model is saved: ``prompt_learner.ctx`` (M, W) in the text input,
``text_encoder.transformer.resblocks.i.VPT_shallow`` (M, W) before text block i,
``image_encoder.VPT`` (N, V) in the image input,
``image_encoder.transformer.resblocks.i.VPT_shallow`` (N, V) before vision block i. Without the last
two it is deep language prompting. Source: muzairkhattak/multimodal-prompt-learning
``trainers/independentVL.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.families.whole import (
    ENCODERS,
    LEARNED_CONTEXT,
    LEARNED_INSIDE,
    LEARNER,
    TOKENS,
    independent_options,
    learner_options,
    learner_parts,
    with_independent,
)
from inspector.checkpoint.reading import Scalar

LEARNED = {**LEARNED_CONTEXT, **LEARNED_INSIDE}
_OF_LASP = "text_encoder.module."


def options_of(shapes: Shapes) -> dict[str, Scalar]:
    """Raises ShapeMismatch where prompts do not fit together."""
    return {**learner_options(shapes), **independent_options(shapes)}


def parts_of(tensors: Tensors) -> Parts:
    """The learner's context, prompts of both encoders, and their weights."""
    return with_independent(learner_parts(tensors), tensors)


FAMILY = Family(
    name="IVLP",
    aliases=(),
    required=frozenset({f"{LEARNER}ctx", "image_encoder.conv1.weight"}),
    optional=TOKENS,
    options=options_of,
    parts=parts_of,
    prefixes=ENCODERS,
    learned=LEARNED,
    fits=lambda shapes: not any(name.startswith(_OF_LASP) for name in shapes),
)
