"""Tip-Adapter and Tip-Adapter-F: a cache of the training images' features beside fixed prompts.

Three files of one folder: ``keys_<s>shots.pt`` (D, N) normalised features, transposed,
``values_<s>shots.pt`` (N, K) their labels, one hot, and with fine-tuning ``best_F_<s>shots.pt`` (N,
D), which takes the place of the keys. Each holds a bare tensor, named here after its file. The
factors alpha and beta, the templates and the class names are not in the files. Source:
gaopengcuhk/Tip-Adapter ``main.py`` and ``utils.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Cache, Parts, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import UnknownFamily

KEYS, VALUES, TUNED = "keys", "values", "best_F"
_LOGIT_SCALE = 100.0
"""A literal in the original code."""


def _options(shapes: Shapes) -> dict[str, Scalar]:
    if KEYS not in shapes and TUNED not in shapes:
        why = f"{VALUES} without {KEYS} or {TUNED}"
        raise UnknownFamily(sorted(shapes), [FAMILY.name], why)
    expect(shapes, VALUES, (None, None))
    images, classes = shapes[VALUES]
    if KEYS in shapes:
        expect(shapes, KEYS, (None, images))
    if TUNED in shapes:
        expect(shapes, TUNED, (images, shapes[KEYS][0] if KEYS in shapes else None))
    features = shapes[TUNED][1] if TUNED in shapes else shapes[KEYS][0]
    return {
        "cached_images": images,
        "num_classes": classes,
        "embed_dim": features,
        "fine_tuned": TUNED in shapes,
    }


def _parts(tensors: Tensors) -> Parts:
    keys = tensors[TUNED] if TUNED in tensors else tensors[KEYS].T
    return Parts(cache=Cache(keys, tensors[VALUES]), logit_scale=_LOGIT_SCALE)


FAMILY = Family(
    name="Tip-Adapter",
    aliases=("Tip-Adapter-F",),
    required=frozenset({VALUES}),
    optional=frozenset({KEYS, TUNED}),
    options=_options,
    parts=_parts,
)
