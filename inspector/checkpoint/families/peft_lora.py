"""LoRA of Hugging Face's PEFT on ``CLIPModel``: ``adapter_model.safetensors`` and its settings.

``<module>.lora_A.weight`` (r, in) and ``lora_B.weight`` (out, r), of an embedding
``lora_embedding_A`` (r, V) and ``lora_embedding_B`` (W, r), of the convolution with the kernel
behind; ``lora_B.bias`` and ``lora_magnitude_vector`` (DoRA) where the settings say so. Any tensor
of ``CLIPModel`` may stand beside them, as a copy (``modules_to_save``) or as what PEFT's loader
writes into the backbone; of an adapted module it is called ``<module>.base_layer.*``. Names begin
with ``base_model.model.`` or, where transformers alone is the loader, without. The settings (alpha,
targets, ...) are ``adapter_config.json`` of the same folder, one canonical tensor (U8). Class names
and template are not in the file. Source: huggingface/peft ``tuners/lora`` and
``utils/save_and_load.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.hf_names import (
    CONVOLUTION,
    COUNTERS,
    adaptable,
    is_adaptable,
    is_embedding,
    place_of,
)
from inspector.checkpoint.families.parts import Edits, LowRank, Parts, Place, Tensor, Tensors
from inspector.checkpoint.families.peft_config import (
    STATEMENT,
    Config,
    UnusableConfig,
    parse_config,
)
from inspector.checkpoint.reading import Scalar
from inspector.errors import AssemblyError, ShapeMismatch, UnknownFamily, UnsupportedFormat

_PREFIX = "base_model.model."
_BASE = ".base_layer"
_NAMED = re.compile(r"\.(lora_[A-Za-z_]+)\.default(\.(?:weight|bias))?")
"""How a module calls them in memory, with the adapter's name; PEFT writes them without."""
_ROLES = {
    ".lora_A.weight": "down", ".lora_B.weight": "up", ".lora_B.bias": "shift",
    ".lora_embedding_A": "down", ".lora_embedding_B": "up", ".lora_magnitude_vector": "magnitude",
}  # fmt: skip
_LORA = re.compile(r".+\.lora_(?:embedding_)?[AB](?:\.[A-Za-z0-9_-]+)*")
_SPARE = re.compile(r"(.+?)\.(original_module|modules_to_save(?:\.default)?)\.(.+)")
_PROJECTIONS = ("visual_projection", "text_projection")
_Pairs = dict[str, dict[str, str]]
"""By module: the file's name of what plays each role."""


def _split(names: Mapping[str, object]) -> tuple[_Pairs, dict[str, str]]:
    """Low-rank matrices by module, and the file's names of all others by their name in CLIPModel.

    Raises:
        UnknownFamily: a name that belongs to neither, or two ways of naming in one file.
    """
    own = [name for name in names if name != STATEMENT]
    is_prefixed = [name.startswith(_PREFIX) for name in own]
    if any(is_prefixed) and not all(is_prefixed):
        odd = own[is_prefixed.index(False)]
        _refuse(names, f"only some names begin with {_PREFIX}, {odd} does not")
    pairs: _Pairs = {}
    others: dict[str, str] = {}
    for name in own:
        plain = name.removeprefix(_PREFIX)
        inside = _NAMED.sub(_unnamed, plain)
        suffix = next(filter(inside.endswith, _ROLES), None)
        if suffix is None:
            others[plain] = name
            continue
        roles = pairs.setdefault(inside.removesuffix(suffix), {})
        if _ROLES[suffix] in roles:
            _refuse(names, f"{name} stands there twice")
        roles[_ROLES[suffix]] = name
    named = [name for name in own if _NAMED.search(name)]
    if named and len(named) < len(own):
        _refuse(names, f"only some names hold the adapter's own, as {named[0]} does")
    return pairs, others


def _unnamed(match: re.Match[str]) -> str:
    """Without the adapter's name; the vector of magnitudes also without its last part."""
    name, part = match.groups()
    return f".{name}" if part is None or name == "lora_magnitude_vector" else f".{name}{part}"


def _refuse(names: Mapping[str, object], why: str) -> NoReturn:
    raise UnknownFamily(sorted(names), [FAMILY.name], why)


def _options(shapes: Shapes) -> dict[str, Scalar]:
    if STATEMENT not in shapes:
        raise UnsupportedFormat(
            "unsupported-format",
            f"a PEFT adapter without its {STATEMENT}, which says by what factor and where it "
            "counts; give the whole folder",
        )
    expect(shapes, STATEMENT, (None,))
    pairs, others = _split(shapes)
    ranks = set()
    for module, roles in pairs.items():
        if not is_adaptable(module):
            _refuse(shapes, f"CLIPModel has no module {module} that takes low-rank matrices")
        _expect_roles(shapes, module, roles)
        ranks.add(shapes[roles["down"]][0])
    for name in others:
        plain = _SPARE.sub(r"\1.\3", name)
        is_known = place_of(".".join(filter(None, _owner(plain)))) or name in COUNTERS
        if not is_known or plain not in others:
            _refuse(shapes, f"{name} has no place in CLIPModel")
    rank = ranks.pop() if len(ranks) == 1 else None
    return {"rank": rank, "adapted": len(pairs), "replaced": len(others)}


def _expect_roles(shapes: Shapes, module: str, roles: Mapping[str, str]) -> None:
    """That both matrices are there and of one rank, and what may stand beside them fits."""
    for role in ("down", "up"):
        if role not in roles:
            raise ShapeMismatch(f"{module}.lora_*", "both matrices", ())
    embeds = [name for role, name in roles.items() if "lora_embedding_" in name]
    if bool(embeds) is not is_embedding(module):
        raise UnknownFamily(sorted(roles.values()), [FAMILY.name], f"{module} is of another kind")
    kernel = 2 if module == CONVOLUTION else 0
    expect(shapes, roles["down"], (None, None, *[None] * kernel))
    out, rank = (*shapes[roles["up"]][:1], 0)[0], shapes[roles["down"]][0]
    expect(shapes, roles["up"], (None, rank, *[1] * kernel))
    if "shift" in roles:
        expect(shapes, roles["shift"], (out,))
    if "magnitude" in roles:
        expect(shapes, roles["magnitude"], (1, out, 1, 1) if kernel else (out,))


def _parts(tensors: Tensors) -> Parts:
    try:
        config = parse_config(bytes(tensors[STATEMENT].tolist()))
        pairs, others = _split(tensors)
        low_rank = dict(_low_rank(module, pairs[module], tensors, config) for module in pairs)
        shifts = _shifts(pairs, tensors, config)
        copies = {
            name: tensors[own]
            for name, own in others.items()
            if name not in COUNTERS and not _is_spare(name, others, tensors, config)
        }
        replaced = {_place_of_copy(name, config): tensor for name, tensor in copies.items()}
    except UnusableConfig as problem:
        raise AssemblyError(str(problem)) from problem
    image_shift, text_shift = (shifts.pop(name, None) for name in _PROJECTIONS)
    places = {_bias_of(module): shift for module, shift in shifts.items()}
    edits = Edits(replaced, low_rank, places, lambda b: _unset(b, pairs, config), config.base)
    return Parts(edits=edits, image_shift=image_shift, text_shift=text_shift)


def _low_rank(
    module: str, roles: Mapping[str, str], tensors: Tensors, config: Config
) -> tuple[Place, LowRank]:
    if not config.adapts(module):
        raise UnusableConfig(
            f"{STATEMENT} does not adapt {module}, PEFT would not load its matrices"
        )
    if config.copies(module):
        raise UnusableConfig(f"{STATEMENT} adapts {module} and copies it, too")
    down, up = tensors[roles["down"]], tensors[roles["up"]]
    if len(down) != config.rank_of(module):
        raise UnusableConfig(
            f"{STATEMENT} says rank {config.rank_of(module)} of {module}, its matrices have "
            f"{len(down)}"
        )
    for is_stated, role in ((config.has_magnitudes, "magnitude"), (config.has_biases, "shift")):
        if is_stated is not (role in roles):
            has = "has no" if is_stated else "has a"
            raise UnusableConfig(f"{module} {has} {role}, {STATEMENT} says otherwise")
    place = place_of(f"{module}.weight")
    assert place is not None, "its shape was checked"
    if is_embedding(module):
        # A table of embeddings is a layer's weight the other way round.
        place = Place(place.name, is_transposed=True)
    magnitude = tensors[roles["magnitude"]].flatten() if config.has_magnitudes else None
    matrices = (down.flatten(1), up.flatten(1))
    return place, LowRank(*matrices, config.scale_of(module), magnitude)


def _shifts(pairs: _Pairs, tensors: Tensors, config: Config) -> dict[str, Tensor]:
    """By module, what ``lora_B.bias`` adds to its output."""
    return {
        module: tensors[roles["shift"]].float() * config.scale_of(module)
        for module, roles in pairs.items()
        if "shift" in roles
    }


def _bias_of(module: str) -> Place:
    place = place_of(f"{module}.bias")
    if place is None:
        raise AssemblyError(f"{module} has no bias in CLIP, its low-rank matrices bring one")
    return place


def _is_spare(name: str, others: Mapping[str, str], tensors: Tensors, config: Config) -> bool:
    """Whether a tensor is the inside of a copied module, which no forward pass reads.

    With ``bias="all"`` PEFT writes the biases of such a module once more under these names.

    Raises:
        UnusableConfig: it is no copied module, or the two biases differ.
    """
    match = _SPARE.fullmatch(name)
    if match is None:
        return False
    module, inside, part = match.groups()
    whole = tensors[others[f"{module}.{part}"]]
    own = tensors[others[name]]
    if not config.wraps(module) or (inside != "original_module" and not whole.equal(own)):
        raise UnusableConfig(f"{name} is not what PEFT writes of a copied module")
    return True


def _place_of_copy(name: str, config: Config) -> Place:
    """Where one of the backbone's tensors lies that the adapter holds whole."""
    module, part = _owner(name)
    is_wrapped = is_adaptable(module) and config.adapts(module)
    if is_wrapped and config.copies(module):
        raise UnusableConfig(f"{STATEMENT} adapts {module} and copies it, too")
    if is_wrapped is not name.endswith(f"{_BASE}.{part}"):
        raise UnusableConfig(f"{name} is not what PEFT calls this tensor, it would not load it")
    place = place_of(".".join(filter(None, (module, part))))
    assert place is not None, "options refuse other names"
    return place


def _owner(name: str) -> tuple[str, str]:
    """The module of CLIPModel that has the tensor of that name, and what it calls it."""
    before, _, part = name.rpartition(".")
    return before.removesuffix(_BASE), part


def _unset(blocks: Mapping[str, int], pairs: _Pairs, config: Config) -> list[str]:
    if not config.is_random:
        return []
    own = {tower: count for tower, count in blocks.items() if tower in config.towers}
    return [module for module in adaptable(own) if module not in pairs and config.adapts(module)]


FAMILY = Family(
    name="PEFT-LoRA",
    aliases=(),
    required=frozenset(),
    optional=frozenset({STATEMENT}),
    options=_options,
    parts=_parts,
    prefixes=(_PREFIX, "vision_model.", "text_model.", "visual_projection.", "text_projection."),
    fits=lambda shapes: STATEMENT in shapes or any(_LORA.fullmatch(name) for name in shapes),
    tunes=lambda name: True,
    beside=frozenset({STATEMENT}) | COUNTERS,
)
