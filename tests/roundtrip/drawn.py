"""One drawn checkpoint: its tensors by name, and what the reader must say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from hypothesis import strategies as st
from torch import Tensor

from inspector.checkpoint.reading import Scalar

State = dict[str, Tensor]
Kind = Literal["state", "lora", "parts", "adapter", "json"]
Precision = Literal["fp32", "fp16", "mixed"]

CONTEXT_LENGTH = 77


@dataclass(frozen=True)
class Drawn:
    """What a method's code would save.

    `kind` says in which shape of file: one dictionary of tensors, CLIP-LoRA's nested one,
    Tip-Adapter's several files, or a JSON. `settings` stand beside LoRA's tensors.
    """

    family: str
    options: dict[str, Scalar]
    tensors: State
    kind: Kind = "state"
    settings: dict[str, Scalar] = field(default_factory=dict)


class Maker:
    """Tensors of random numbers; every module of one type where `precision` is mixed."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
        self._precision: Precision = draw(st.sampled_from(["fp32", "fp16", "mixed"]))
        self._types: dict[str, torch.dtype] = {}

    def number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def flag(self) -> bool:
        return self._draw(st.booleans())

    def some(self, names: list[str]) -> list[str]:
        """A few of the names, at least one."""
        return sorted(self._draw(st.sets(st.sampled_from(names), min_size=1, max_size=6)))

    def new(self, name: str, *shape: int) -> Tensor:
        """Numbers in the type of the module that `name` belongs to."""
        tensor = torch.randn(shape, generator=self._generator)
        return tensor.to(self._type_of(name.rpartition(".")[0] or name))

    def state(self, shapes: Mapping[str, tuple[int, ...]], before: str = "") -> State:
        return {before + name: self.new(before + name, *shape) for name, shape in shapes.items()}

    def _type_of(self, module: str) -> torch.dtype:
        if self._precision != "mixed":
            return torch.float32 if self._precision == "fp32" else torch.float16
        if module not in self._types:
            coin = int(torch.randint(2, (), generator=self._generator))
            self._types[module] = (torch.float32, torch.float16)[coin]
        return self._types[module]


def strategy(make: Callable[[Maker], Drawn]) -> st.SearchStrategy[Drawn]:
    """A strategy of what `make` makes."""

    @st.composite
    def composed(draw: st.DrawFn) -> Drawn:
        return make(Maker(draw))

    return composed()


def tokens(maker: Maker, rows: int, n_ctx: int, width: int) -> State:
    """`token_prefix` and `token_suffix`: views on one storage, as the learners slice them."""
    embedding = maker.new("token_", rows, CONTEXT_LENGTH, width)
    return {"token_prefix": embedding[:, :1], "token_suffix": embedding[:, 1 + n_ctx :]}


def context(maker: Maker, *, can_be_specific: bool = False) -> tuple[State, dict[str, Scalar]]:
    """A context with its fixed tokens or without, and the options that they say."""
    classes, n_ctx, width = maker.number(1, 12), maker.number(1, 16), maker.number(1, 24)
    is_specific = can_be_specific and maker.flag()
    # Without its tokens a context for each class cannot be told from PLOT's.
    has_tokens = is_specific or maker.flag()
    shape = (classes, n_ctx, width) if is_specific else (n_ctx, width)
    state = {"ctx": maker.new("ctx", *shape)}
    if has_tokens:
        state |= tokens(maker, classes, n_ctx, width)
    return state, {
        "n_ctx": n_ctx,
        "class_specific": is_specific,
        "num_classes": classes if has_tokens else None,
        "width": width,
        "context_length": CONTEXT_LENGTH if has_tokens else None,
    }


def json_tensor(raw: bytes) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)
