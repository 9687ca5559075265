"""Full fine-tuned CLIP as Hugging Face's ``CLIPModel`` names its tensors.

Templates and class names are not in the file. Where the tensors lie in OpenAI's layout, and the
source, are said in :mod:`~.hf_names`.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.hf_names import BLOCK, COUNTERS, JOINED, TABLE, place_of
from inspector.checkpoint.families.parts import Parts, Tensor, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import UnknownFamily


def _options(shapes: Shapes) -> dict[str, Scalar]:
    for name in shapes:
        if FAMILY.knows(name) and name not in COUNTERS and place_of(name) is None:
            raise UnknownFamily(sorted(shapes), [FAMILY.name], f"{name} has no place in CLIP")
    expect(shapes, TABLE, (None, None))
    for name in shapes:
        match = BLOCK.fullmatch(name)
        if match is not None and match[3] in JOINED:
            _expect_joined(shapes, name, match[3])
    vocabulary, width = shapes[TABLE]
    return {"vocabulary": vocabulary, "width": width}


def _expect_joined(shapes: Shapes, name: str, module: str) -> None:
    """That queries, keys and values are all there and of one shape."""
    for other in JOINED:
        sibling = name.replace(module, other)
        if sibling not in shapes:
            raise UnknownFamily(sorted(shapes), [FAMILY.name], f"{sibling} is missing")
        expect(shapes, sibling, shapes[name])


def _parts(tensors: Tensors) -> Parts:
    found: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        place = place_of(name)
        if place is not None:
            own = tensor.T if place.is_transposed else tensor
            found.setdefault(place.name, {})[place.third or 0] = own
    weights = {name: tuple(thirds[i] for i in sorted(thirds)) for name, thirds in found.items()}
    return Parts(weights=weights)


FAMILY = Family(
    name="CLIPModel",
    aliases=("CLIP",),
    required=frozenset({TABLE, "visual_projection.weight", "text_projection.weight"}),
    optional=COUNTERS | {"logit_scale"},
    options=_options,
    parts=_parts,
    prefixes=("vision_model.", "text_model."),
    tunes=lambda name: True,
    beside=COUNTERS,
)
