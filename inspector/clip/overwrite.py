"""Prompts inside a transformer: tokens appended or overwritten on the way into a module.

open_clip has no entry for them, so they are put in by hooks that live only as long as one forward
pass. Knows neither checkpoints nor classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]


@contextmanager
def changed_input(module: nn.Module, change: Change) -> Iterator[None]:
    """Within the block, `module` is given `change` of its first argument."""

    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return change(arguments[0]), *arguments[1:]

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def before_blocks(transformer: Any, changes: Mapping[int, Change]) -> Iterator[None]:
    """Within the block, some of the transformer's blocks are given changed tokens (B, L, W).

    Raises:
        ValueError: a block that the transformer does not have.
    """
    blocks = transformer.resblocks
    if any(index >= len(blocks) for index in changes):
        raise ValueError(f"deep prompts before block {max(changes)} of {len(blocks)}")
    with ExitStack() as stack:
        for index, change in changes.items():
            stack.enter_context(changed_input(blocks[index], change))
        yield


def append(vectors: Tensor) -> Change:
    """Vectors (M, W) behind the tokens of every sequence."""
    return lambda tokens: torch.cat([tokens, _for_all(vectors, tokens)], 1)


def overwrite_last(vectors: Tensor) -> Change:
    """Vectors (M, W) in place of the last tokens."""
    return lambda tokens: torch.cat([tokens[:, : -len(vectors)], _for_all(vectors, tokens)], 1)


def overwrite_context(vectors: Tensor) -> Change:
    """Vectors (M, W), or (B, M, W) one set each, in place of tokens 1 to M behind the start."""
    rest = 1 + vectors.shape[-2]
    return lambda tokens: torch.cat([tokens[:, :1], _for_all(vectors, tokens), tokens[:, rest:]], 1)


def _for_all(vectors: Tensor, tokens: Tensor) -> Tensor:
    return vectors.to(tokens).expand(len(tokens), -1, -1)
