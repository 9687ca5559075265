"""Prompts inside a transformer: tokens appended or overwritten on the way into a module.

open_clip has no entry for them, so they are put in by hooks that live only as long as one forward
pass. Knows neither checkpoints nor classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
def before_blocks(transformer: Any, changes: Sequence[Change]) -> Iterator[None]:
    """Within the block, the transformer's blocks 1, 2, … are given changed tokens (B, L, W).

    Raises:
        ValueError: more changes than blocks to make them before.
    """
    with ExitStack() as stack:
        if changes:
            later = transformer.resblocks[1:]
            if len(changes) > len(later):
                raise ValueError(f"{len(changes)} deep prompts for {len(later)} later blocks")
            for block, change in zip(later, changes, strict=False):
                stack.enter_context(changed_input(block, change))
        yield


def append(vectors: Tensor) -> Change:
    """Vectors (M, W) behind the tokens of every sequence."""
    return lambda tokens: torch.cat([tokens, _for_all(vectors, tokens)], 1)


def overwrite_last(vectors: Tensor) -> Change:
    """Vectors (M, W) in place of the last tokens."""
    return lambda tokens: torch.cat([tokens[:, : -len(vectors)], _for_all(vectors, tokens)], 1)


def overwrite_context(vectors: Tensor) -> Change:
    """Vectors (M, W) in place of tokens 1 to M, behind the start token."""
    return lambda tokens: torch.cat(
        [tokens[:, :1], _for_all(vectors, tokens), tokens[:, 1 + len(vectors) :]], 1
    )


def _for_all(vectors: Tensor, tokens: Tensor) -> Tensor:
    return vectors.to(tokens.dtype).expand(len(tokens), -1, -1)
