"""What a family's tensors are to a classifier, in terms that all families share.

A family says here which tensor is a context, which stands before which block, which are encoder
weights; the classifier is built from that alone (``inspector.clip``). Imports no torch: tensors
pass through, changed by their own methods at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Tensor = Any
"""A ``torch.Tensor``, which cannot be named where torch must not be imported."""
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """``ratio`` of relu(W2 relu(W1 x)) mixed into raw features x; W1 (H, D), W2 (D, H).

    ``name`` is what stands before the keys, for messages. With ``is_stated`` a manifest may name
    another ratio, because the original code takes it from its command line.
    """

    name: str
    first: Tensor
    second: Tensor
    ratio: float
    is_stated: bool = False


@dataclass(frozen=True, slots=True)
class MetaNet:
    """Two layers, by the names ``linear1.weight``, ``linear1.bias``, ``linear2.*``.

    ``reads`` the image feature, and shifts every context vector by what it gives (CoCoOp), or each
    class's zero-shot text feature, and gives the vectors before a later text block (TCP).
    """

    layers: Tensors
    reads: Literal["image", "class"]


@dataclass(frozen=True, slots=True)
class Cache:
    """Tip-Adapter's cache model: keys (M, D) normalised features, values (M, K) their labels."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor of the encoders by its name in OpenAI's layout, or a part of it.

    ``third``: which third of its rows (queries, keys, values). ``is_transposed``: it is the
    transposed of what is meant.
    """

    name: str
    third: int | None = None
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class LowRank:
    """``scale`` B A added to a weight (out, in), A (r, in), B (out, r).

    A convolution's weight counts as (out, everything else). With a ``magnitude`` (out,) the rows of
    the sum are then brought to these norms (DoRA).
    """

    down: Tensor
    up: Tensor
    scale: float
    magnitude: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Edits:
    """What an adapter changes in the encoders' weights: replaced first, then the low-rank changes.

    ``unset`` names, for a model with so many blocks in the towers ``text`` and ``vision``, modules
    for which the adapter has no matrices and its loader takes random ones. ``base`` is the model
    that the adapter names as its own, as it may be shown.
    """

    replaced: Mapping[Place, Tensor]
    low_rank: Mapping[Place, LowRank]
    shifts: Mapping[Place, Tensor]
    unset: Callable[[Mapping[str, int]], list[str]]
    base: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a file may bring along; empty or None where a family has no such thing.

    Of widths: W of the text tower, V of the image tower, D of the joint
    space; K classes, M vectors.
    """

    context: Tensor = None
    """None, (M, W), or (K, M, W) with one set for each class, or (N, M, W)
    with ``is_transported``."""
    token_prefix: Tensor | None = None
    """(K, 1, W), the start token; with ``is_transported`` (N * K, 1, W)."""
    token_suffix: Tensor | None = None
    """(K, L - 1 - M, W), all tokens behind the context."""
    meta_net: MetaNet | None = None
    text_prompts: Mapping[int, Tensor] = field(default_factory=dict)
    """By block, vectors (M, W) that take the place of the context before it."""
    visual_tokens: Tensor | None = None
    """(M, V), behind the patch tokens."""
    visual_prompts: Mapping[int, Tensor] = field(default_factory=dict)
    """By block, vectors (M, V) that take their place before it."""
    image_adapter: Bottleneck | None = None
    text_adapter: Bottleneck | None = None
    text_shift: Tensor | None = None
    """(1, D), added to every raw text feature."""
    image_shift: Tensor | None = None
    """(1, D), added to every raw image feature."""
    weights: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    """Encoder weights by their name in OpenAI's layout; several are joined along the first axis."""
    low_rank: Tensors = field(default_factory=dict)
    """CLIP-LoRA's matrices under the names of its files."""
    edits: Edits | None = None
    """Changes of single weights."""
    cache: Cache | None = None
    is_transported: bool = False
    """Whether N prompts for each class are matched with all image positions (PLOT)."""
    logit_scale: float | None = None
    """The factor of cosines where the original code has a literal."""
    statement: bytes | None = None
    """JSON that stands in the file instead of tensors: templates and class names."""

    @property
    def leaves_encoders(self) -> bool:
        """Whether the encoders are the bare backbone's."""
        changes = (self.weights, self.low_rank, self.text_prompts, self.logit_scale)
        shifts = (self.text_shift, self.image_shift)
        added = (self.visual_tokens, self.image_adapter, self.text_adapter, *shifts)
        is_added = any(part is not None for part in (*added, self.edits))
        return not any(changes) and not is_added and not self.is_transported


Split = Callable[[Tensors], Parts]
"""From a file's tensors to its parts; knows shapes to be right, see ``Family.options``."""


def at(first: int, layers: list[Tensor]) -> dict[int, Tensor]:
    """Layers of any shape by block, the first of them before block ``first``."""
    return dict(enumerate(layers, first))


def numbered_tensors(tensors: Tensors, pattern: str, first: int) -> list[Tensor]:
    """Tensors, of any shape, called ``pattern`` with its {} counted up from ``first``."""
    found: list[Tensor] = []
    while (name := pattern.format(first + len(found))) in tensors:
        found.append(tensors[name])
    return found


def half_rounded(vectors: Tensor) -> Tensor:
    """As the original code rounds deep prompts (M, W): ``.half()`` in MaPLe's ``clip/model.py``."""
    return vectors.half().float()
