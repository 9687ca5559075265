"""Which family of prompt tuning a set of tensors belongs to.

Adding a family is one module beside this one and one row in :data:`FAMILIES`: it says which keys
and shapes are its own, what they tell, and what the tensors are (:mod:`~.parts`). The tensor maths
of those parts lives with the classifier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.checkpoint.families import (
    clip_adapter,
    clip_lora,
    cocoop,
    coop,
    coprompt,
    fine_tuned,
    hugging_face,
    ivlp,
    kgcoop,
    lasp,
    maple,
    peft_config,
    peft_lora,
    plot,
    promptsrc,
    tcp,
    tip_adapter,
    vpt,
    zero_shot,
)
from inspector.checkpoint.families.family import Family, Recognition
from inspector.checkpoint.families.partial import described, head_of
from inspector.errors import UnknownFamily

# Of two families that could both read a file the first one here does.
FAMILIES: tuple[Family, ...] = (
    plot.FAMILY,
    coop.FAMILY,
    cocoop.FAMILY,
    tcp.FAMILY,
    kgcoop.FAMILY,
    maple.FAMILY,
    coprompt.FAMILY,
    lasp.FAMILY,
    ivlp.FAMILY,
    promptsrc.FAMILY,
    vpt.FAMILY,
    clip_adapter.FAMILY,
    clip_lora.FAMILY,
    peft_lora.FAMILY,
    tip_adapter.FAMILY,
    zero_shot.FAMILY,
    fine_tuned.FAMILY,
    hugging_face.FAMILY,
)
NAMES = tuple(dict.fromkeys(name for f in FAMILIES for name in (f.name, *f.aliases)))
"""All methods by the names that manifests use."""


FILES = frozenset({zero_shot.STATEMENT, peft_config.STATEMENT})
"""Names of tensors that the reader makes of files beside the tensors."""


def named(name: str) -> Family:
    """The family of that name; KeyError where there is none."""
    return {family.name: family for family in FAMILIES}[name]


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> Recognition:
    """The family that the tensors ``shapes`` (by name) belong to, and what the file says of it.

    Keys of no family at all do not hide the family of the others, as long as they are fewer: the
    original codes ignore them, too.

    Raises:
        UnknownFamily: no family has these keys, or they are a CLIP with a head of classes.
        AmbiguousFamily, ShapeMismatch: the keys fit one, the shapes do not.
    """
    claiming = [family for family in FAMILIES if family.claims(shapes)]
    unknown = {f.name: tuple(n for n in shapes if not f.knows(n)) for f in claiming}
    claiming.sort(key=lambda family: len(unknown[family.name]))
    for family in claiming[:1]:
        odd = unknown[family.name]
        is_foreign = any(f.knows(name) for f in FAMILIES for name in odd)
        head = head_of(shapes, odd)
        if head:
            raise UnknownFamily(sorted(shapes), NAMES, head)
        if 2 * len(odd) < len(shapes) and not is_foreign:
            return Recognition(family.name, family.aliases, family.options(shapes), odd)
    raise UnknownFamily(sorted(shapes), NAMES, described(shapes))


def is_known(name: str) -> bool:
    """Whether a key of this name belongs to some family."""
    return any(family.knows(name) for family in FAMILIES)


def may_be(names: Iterable[str]) -> bool:
    """Whether some family's required keys stand among ``names``, or behind a prefix there."""
    there = set(names)
    return any(
        all(
            any(name == key or name.endswith(f".{key}") for name in there)
            for key in family.required
        )
        for family in FAMILIES
        if family.required
    )


__all__ = ["FAMILIES", "NAMES", "Family", "Recognition", "is_known", "may_be", "named", "recognise"]
