"""LASP: one context, a learned shift of text features, perhaps the image encoder's layer norms.

The whole model is saved, its text encoder inside ``DataParallel`` (``text_encoder.module.*``).
``prompt_learner.w`` (1, D) is added to raw text features; ``class_text_features`` and
``token_*_all`` are what the training compares with. The layer norms of the vision blocks may be
tuned, and training moves the running statistics of a ResNet; nothing else of the encoders changes.
Source: 1adrianb/lasp ``prompting/lasp.py``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.families.whole import (
    LEARNED_CONTEXT,
    LEARNER,
    TOKENS,
    learner_options,
    learner_parts,
)
from inspector.checkpoint.reading import Scalar

_TEXT = "text_encoder.module."
_SHIFT = f"{LEARNER}w"
_TUNED = re.compile(
    r"visual\.transformer\.resblocks\.[0-9]+\.ln_[12]\.(weight|bias)|visual\..+\.running_(mean|var)"
)
_COMPARED = frozenset(
    LEARNER + name for name in ("class_text_features", "token_prefix_all", "token_suffix_all")
)


def _options(shapes: Shapes) -> dict[str, Scalar]:
    if _SHIFT in shapes:
        expect(shapes, _SHIFT, (1, None))
    return {**learner_options(shapes), "text_shift": _SHIFT in shapes}


def _parts(tensors: Tensors) -> Parts:
    return replace(learner_parts(tensors, _TEXT), text_shift=tensors.get(_SHIFT))


FAMILY = Family(
    name="LASP",
    aliases=(),
    required=frozenset({f"{LEARNER}ctx", "image_encoder.conv1.weight", f"{_TEXT}ln_final.weight"}),
    optional=TOKENS | _COMPARED | {_SHIFT},
    options=_options,
    parts=_parts,
    prefixes=("image_encoder.", _TEXT, "logit_scale"),
    learned={**LEARNED_CONTEXT, _SHIFT.replace(".", r"\."): "nothing"},
    tunes=lambda name: _TUNED.fullmatch(name) is not None,
)
