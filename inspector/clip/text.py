"""The text tower of a frozen open_clip model, driven from token embeddings instead of token ids.

Learned prompts replace rows of the embedded prompt, so the tower must be entered after the
embedding. The tower is causal and reads only the end-of-text row: everything behind the last such
row of a batch is cut, which changes no output. Long batches are encoded in parts of bounded memory.
Knows nothing of classes or contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor
from torch.nn import functional

from inspector.clip.overwrite import before_blocks, overwrite_context

TOKENS_PER_PART = 65_536
"""Token positions encoded at once: a bound on memory (about 0.5 GB in the widest layer of a text
tower of width 512), not on results."""


class TextTower:
    """Token embeddings to L2-normalised text features.

    Args:
        deep: vectors that take the place of tokens 1 to M before a block: (M, W), or (P, M, W) with
            one set for each of the prompts, which are then always encoded together.
        adapter: what happens to raw features (P, D).

    Raises:
        ValueError: a tower that is not causal, or does not read the end-of-text token.
    """

    def __init__(
        self,
        model: Any,
        deep: Mapping[int, Tensor] = MappingProxyType({}),
        adapter: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        text = getattr(model, "text", model)  # CustomTextCLIP keeps its tower in `.text`
        if getattr(text, "attn_mask", None) is None:
            raise ValueError("the text tower is not a causal transformer of open_clip")
        if getattr(text, "text_pool_type", getattr(text, "pool_type", None)) != "argmax":
            raise ValueError("the text tower does not read the end-of-text token")
        if getattr(text, "cls_emb", None) is not None or text.text_projection is None:
            raise ValueError("the text tower has a class token or no projection")
        self._text, self._deep, self._adapter = text, deep, adapter
        self.token_embedding: Tensor = text.token_embedding.weight
        self.context_length: int = text.positional_embedding.shape[0]

    @property
    def width(self) -> int:
        """W, the length of a token embedding."""
        return self.token_embedding.shape[1]

    @property
    def depth(self) -> int:
        """Number of transformer blocks."""
        return len(self._text.transformer.resblocks)

    @property
    def has_sets(self) -> bool:
        """Whether vectors before some block are others for each prompt: all must come together."""
        return any(vectors.ndim == 3 for vectors in self._deep.values())

    @property
    def is_plain(self) -> bool:
        """Whether nothing happens between its blocks."""
        return not self._deep

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
        features = [
            self._encode(embedded[start : start + part, :length], end[start : start + part], start)
            for start in range(0, len(end), part)
        ]
        return features[0] if len(features) == 1 else torch.cat(features)

    def encode_sequences(
        self, embedded: Tensor, positions: Tensor, mask: Tensor, ends: Tensor
    ) -> Tensor:
        """Normalised features (B, k, D) of what ends at rows `ends` (k,) of sequences (B, T, W).

        `positions` (T,) and `mask` (T, T) are those of every sequence.
        """
        part = max(1, TOKENS_PER_PART // len(positions))
        features = [
            self._features(self._end_states(some, positions, mask, ends))
            for some in embedded.split(part)
        ]
        return features[0] if len(features) == 1 else torch.cat(features)

    def _encode(self, embedded: Tensor, end: Tensor, start: int) -> Tensor:
        """Prompts from number `start` on."""
        length = embedded.shape[1]
        deep = {
            block: overwrite_context(v if v.ndim == 2 else v[start : start + len(end)])
            for block, v in self._deep.items()
        }
        mask = self._text.attn_mask[:length, :length]
        with before_blocks(self._text.transformer, deep):
            states = self._states(embedded, slice(length), mask)
        return self._features(states[torch.arange(len(end), device=end.device), end])

    def _states(self, embedded: Tensor, positions: Tensor | slice, mask: Tensor) -> Tensor:
        text = self._text
        return text.transformer(  # type: ignore[no-any-return]
            embedded + text.positional_embedding[positions], attn_mask=mask
        )

    def _end_states(
        self, embedded: Tensor, positions: Tensor, mask: Tensor, ends: Tensor
    ) -> Tensor:
        """Rows `ends` of the last states (B, k, W): in the last block no other row matters."""
        text = self._text
        *before, last = text.transformer.resblocks
        if type(last) is not ResidualAttentionBlock or not text.transformer.batch_first:
            return self._states(embedded, positions, mask)[:, ends]
        states = embedded + text.positional_embedding[positions]
        for block in before:
            states = block(states, attn_mask=mask)
        keys, asking = last.ln_1(states), states[:, ends]
        answers = last.attention(keys[:, ends], keys, keys, attn_mask=mask[ends])
        asking = asking + last.ls_1(answers)
        return asking + last.ls_2(last.mlp(last.ln_2(asking)))  # type: ignore[no-any-return]

    def _features(self, ends: Tensor) -> Tensor:
        """Of the last states (..., W) of prompts."""
        projection, states = self._text.text_projection, self._text.ln_final(ends)
        if isinstance(projection, torch.nn.Module):
            states = projection(states)
        else:
            states = states @ projection
        if self._adapter is not None:
            states = self._adapter(states)
        return functional.normalize(states, dim=-1)
