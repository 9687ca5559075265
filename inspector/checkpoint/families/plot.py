"""PLOT: several prompts for every class, matched with all positions of the image by transport.

``ctx`` (N, M, W) holds N contexts for all classes; the rows of ``token_prefix`` and
``token_suffix`` are those of the K classes, N times over. A class-specific CoOp has as many
rows as sets of vectors, so that the two never look alike when ``token_prefix`` is there.
Source: CHENGY12/PLOT ``plot-coop/trainers/plot.py``, which places the class name at the end
whatever its setting says.
"""

from __future__ import annotations

from dataclasses import replace

from inspector.checkpoint.families.coop import TOKEN_KEYS, context_parts
from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.reading import Scalar


def _fits(shapes: Shapes) -> bool:
    ctx, rows = shapes["ctx"], shapes["token_prefix"]
    if len(ctx) != 3 or not rows or 0 in ctx:
        return False
    return rows[0] > ctx[0] and rows[0] % ctx[0] == 0


def _options(shapes: Shapes) -> dict[str, Scalar]:
    sets, n_ctx, width = shapes["ctx"]
    expect(shapes, "token_prefix", (None, 1, width))
    rows = shapes["token_prefix"][0]
    length = None
    if "token_suffix" in shapes:
        expect(shapes, "token_suffix", (rows, None, width))
        length = 1 + n_ctx + shapes["token_suffix"][1]
    return {
        "n_ctx": n_ctx,
        "class_specific": False,
        "num_classes": rows // sets,
        "prompts_per_class": sets,
        "width": width,
        "context_length": length,
    }


def _parts(tensors: Tensors) -> Parts:
    return replace(context_parts(tensors), is_transported=True)


FAMILY = Family(
    name="PLOT",
    aliases=(),
    required=frozenset({"ctx", "token_prefix"}),
    optional=TOKEN_KEYS,
    options=_options,
    parts=_parts,
    fits=_fits,
    learned={"ctx": "vectors"},
)
