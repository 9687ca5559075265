"""Tokens put into a transformer, against the same done by hand block after block."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.overwrite import (
    append,
    before_blocks,
    changed_input,
    overwrite_context,
    overwrite_last,
)

TOKENS = torch.arange(24.0).view(2, 4, 3)
VECTORS = -torch.ones(2, 3)


def test_where_the_vectors_go() -> None:
    assert torch.equal(append(VECTORS)(TOKENS)[:, :4], TOKENS)
    assert torch.equal(append(VECTORS)(TOKENS)[1, 4:], VECTORS)
    last = overwrite_last(VECTORS)(TOKENS)
    assert torch.equal(last[:, :2], TOKENS[:, :2])
    assert torch.equal(last[0, 2:], VECTORS)
    context = overwrite_context(VECTORS)(TOKENS)
    assert torch.equal(context[0, 1:3], VECTORS)
    assert torch.equal(context[:, [0, 3]], TOKENS[:, [0, 3]])
    each = overwrite_context(torch.stack([VECTORS, 2 * VECTORS]))(TOKENS)
    assert torch.equal(each[:, 1:3], torch.stack([VECTORS, 2 * VECTORS]))


def test_blocks_are_given_changed_tokens_as_long_as_the_block_lasts(vit: Backbone) -> None:
    transformer = vit.model.visual.transformer
    width, generator = len(vit.model.visual.class_embedding), torch.Generator().manual_seed(1)
    tokens = torch.randn(2, 5, width, generator=generator)
    vectors = torch.randn(2, width, generator=generator)
    with torch.no_grad():
        plain = transformer(tokens)
        expected = tokens
        for index, block in enumerate(transformer.resblocks):
            if index == 1:
                expected = torch.cat([expected[:, :3], vectors.expand(2, -1, -1)], 1)
            expected = block(expected)
        with before_blocks(transformer, {1: overwrite_last(vectors)}):
            changed = transformer(tokens)
        after = transformer(tokens)
    assert torch.allclose(changed, expected, atol=1e-6)
    assert not torch.allclose(changed, plain, atol=1e-3)
    assert torch.equal(after, plain)


def test_an_error_leaves_no_hook_behind(vit: Backbone) -> None:
    visual = vit.model.visual
    with pytest.raises(KeyError), changed_input(visual.ln_pre, append(VECTORS)):
        raise KeyError
    assert not visual.ln_pre._forward_pre_hooks


def test_a_block_that_is_not_there(vit: Backbone) -> None:
    transformer = vit.model.transformer
    changes = {len(transformer.resblocks): overwrite_context(VECTORS)}
    with pytest.raises(ValueError, match="deep prompts"), before_blocks(transformer, changes):
        pass
