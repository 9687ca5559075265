"""CoOp: learned context vectors in front of, behind or around the class name.

``ctx`` is (M, W), or (K, M, W) when each class has its own; ``token_prefix`` (K, 1, W) and
``token_suffix`` (K, rest, W) are the embeddings of the fixed tokens, which the original code writes
but does not read back. ProGrad saves the same keys. The position of the class name is not in the
file. Source: KaiyangZhou/CoOp ``trainers/coop.py``. PLOT looks alike but for
the rows of ``token_*``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import AmbiguousFamily, ShapeMismatch

TOKEN_KEYS = frozenset({"token_prefix", "token_suffix"})


def context_options(shapes: Shapes) -> dict[str, Scalar]:
    """What ``ctx`` and ``token_*`` say; shared by the families that extend CoOp.

    Raises:
        ShapeMismatch: shapes that do not fit together.
        AmbiguousFamily: several context sets that need not belong to one class each.
    """
    ctx = shapes["ctx"]
    if len(ctx) not in (2, 3) or 0 in ctx:
        raise ShapeMismatch("ctx", "M x W or K x M x W", ctx)
    *_, n_ctx, width = ctx
    rows = shapes["token_prefix"][:1] if "token_prefix" in shapes else ()
    classes = rows[0] if rows else None
    if len(ctx) == 3:
        classes = _own_context(ctx[0], classes)
    if "token_prefix" in shapes:
        expect(shapes, "token_prefix", (classes, 1, width))
    if "token_suffix" in shapes:
        expect(shapes, "token_suffix", (classes, None, width))
        classes = shapes["token_suffix"][0]
    length = 1 + n_ctx + shapes["token_suffix"][1] if "token_suffix" in shapes else None
    return {
        "n_ctx": n_ctx,
        "class_specific": len(ctx) == 3,
        "num_classes": classes,
        "width": width,
        "context_length": length,
    }


def _own_context(sets: int, classes: int | None) -> int:
    """The number of classes of a three-dimensional ``ctx`` with ``sets`` sets of vectors."""
    if classes == sets:
        return sets
    if classes is None:
        raise AmbiguousFamily(
            ["CoOp with a context for each class", "PLOT"],
            f"ctx has {sets} sets of vectors and token_prefix is missing",
        )
    raise ShapeMismatch("token_prefix", f"{sets} x 1 x *", (classes,))


def context_parts(tensors: Tensors) -> Parts:
    """The context and its fixed tokens, under CoOp's names."""
    return Parts(
        context=tensors["ctx"],
        token_prefix=tensors.get("token_prefix"),
        token_suffix=tensors.get("token_suffix"),
    )


FAMILY = Family(
    name="CoOp",
    aliases=("ProGrad",),
    required=frozenset({"ctx"}),
    optional=TOKEN_KEYS,
    options=context_options,
    parts=context_parts,
    is_position_stated=True,
    learned={"ctx": "words"},
)
