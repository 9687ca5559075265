"""Which family of prompt tuning a set of tensors belongs to.

Adding a family is one module beside this one and one row in :data:`FAMILIES`. Detection uses names
and shapes only; the tensor maths of a family lives with the classifier.
"""

from __future__ import annotations

from collections.abc import Mapping

from inspector.checkpoint.families import (
    clip_adapter,
    clip_lora,
    cocoop,
    coop,
    coprompt,
    ivlp,
    kgcoop,
    maple,
    promptsrc,
    tcp,
    vpt,
)
from inspector.checkpoint.families.family import Family, Recognition
from inspector.errors import UnknownFamily

FAMILIES: tuple[Family, ...] = (
    coop.FAMILY,
    cocoop.FAMILY,
    tcp.FAMILY,
    kgcoop.FAMILY,
    maple.FAMILY,
    coprompt.FAMILY,
    ivlp.FAMILY,
    promptsrc.FAMILY,
    vpt.FAMILY,
    clip_adapter.FAMILY,
    clip_lora.FAMILY,
)


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> Recognition:
    """The family that the tensors ``shapes`` (by name) belong to, and what the file says of it.

    Raises:
        UnknownFamily: no family has these keys.
        AmbiguousFamily, ShapeMismatch: the keys fit one, the shapes do not.
    """
    for family in FAMILIES:
        if family.has_keys(shapes) and family.fits(shapes):
            return Recognition(family.name, family.aliases, family.options(shapes))
    raise UnknownFamily(sorted(shapes), [name for f in FAMILIES for name in (f.name, *f.aliases)])


__all__ = ["FAMILIES", "Family", "Recognition", "recognise"]
