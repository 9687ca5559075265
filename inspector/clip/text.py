"""The text tower of a frozen open_clip model, driven from token embeddings instead of token ids.

Learned prompts replace rows of the embedded prompt, so the tower must be entered after the
embedding. The tower is causal and reads only the end-of-text row: everything behind the last such
row of a batch is cut, which changes no output. Long batches are encoded in parts of bounded memory.
Knows nothing of classes or contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.overwrite import Change, before_blocks

TOKENS_PER_PART = 65_536
"""Token positions encoded at once: a bound on memory (about 0.5 GB in the widest layer of a text
tower of width 512), not on results."""


class TextTower:
    """Token embeddings to L2-normalised text features.

    Args:
        changes: what happens to the tokens (P, L, W) before blocks 1, 2, …
        adapter: what happens to raw features (P, D).

    Raises:
        ValueError: a tower that is not causal, or does not read the end-of-text token.
    """

    def __init__(
        self,
        model: Any,
        changes: Sequence[Change] = (),
        adapter: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        text = getattr(model, "text", model)  # CustomTextCLIP keeps its tower in `.text`
        if getattr(text, "attn_mask", None) is None:
            raise ValueError("the text tower is not a causal transformer of open_clip")
        if getattr(text, "text_pool_type", getattr(text, "pool_type", None)) != "argmax":
            raise ValueError("the text tower does not read the end-of-text token")
        if getattr(text, "cls_emb", None) is not None or text.text_projection is None:
            raise ValueError("the text tower has a class token or no projection")
        self._text, self._changes, self._adapter = text, changes, adapter
        self.token_embedding: Tensor = text.token_embedding.weight
        self.context_length: int = text.positional_embedding.shape[0]

    @property
    def width(self) -> int:
        return self.token_embedding.shape[1]

    @property
    def depth(self) -> int:
        """Number of transformer blocks."""
        return len(self._text.transformer.resblocks)

    @property
    def out_features(self) -> int:
        """Size of the joint space."""
        projection = self._text.text_projection
        if isinstance(projection, torch.nn.Linear):
            return projection.out_features
        return int(projection.shape[1])

    def embed(self, tokens: Tensor) -> Tensor:
        """Token ids (K, L) to embeddings (K, L, width)."""
        return self.token_embedding[tokens]

    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        """Normalised features (P, D) of embedded prompts (P, L, width).

        `end` (P,) is each prompt's end-of-text position; L may be any length beyond the last one.
        """
        length = int(end.max()) + 1
        part = max(1, TOKENS_PER_PART // length)
        parts = zip(torch.split(embedded[:, :length], part), torch.split(end, part), strict=True)
        features = [self._encode(some, ends) for some, ends in parts]
        return features[0] if len(features) == 1 else torch.cat(features)

    def _encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        text, length = self._text, embedded.shape[1]
        states = embedded + text.positional_embedding[:length]
        with before_blocks(text.transformer, self._changes):
            states = text.transformer(states, attn_mask=text.attn_mask[:length, :length])
        states = text.ln_final(states[torch.arange(len(end), device=end.device), end])
        projection = text.text_projection
        if isinstance(projection, torch.nn.Module):
            states = projection(states)
        else:
            states = states @ projection
        if self._adapter is not None:
            states = self._adapter(states)
        return functional.normalize(states, dim=-1)
