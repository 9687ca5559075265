"""All positions of a ResNet's attention pool, where CLIP itself keeps only the pooled one.

PLOT matches its prompts with every position of the feature map. Source: CHENGY12/PLOT
`plot-coop/clip/model.py`, whose pool lets every position ask, not only the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def every_position(pool: nn.Module) -> Iterator[None]:
    """Within the block, the attention pool gives (B, H * W, D), without the mean's position."""

    def hook(_: nn.Module, arguments: tuple[Any, ...], _output: Tensor) -> Tensor:
        return _all_positions(pool, arguments[0])[1:].transpose(0, 1)

    handle = pool.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _all_positions(pool: Any, maps: Tensor) -> Tensor:
    """Feature maps (B, C, H, W) to (1 + H * W, B, D), that of the mean first."""
    tokens = maps.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens])
    tokens = tokens + pool.positional_embedding[:, None].to(tokens.dtype)
    attended, _ = functional.multi_head_attention_forward(
        tokens,
        tokens,
        tokens,
        embed_dim_to_check=tokens.shape[-1],
        num_heads=pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
        training=False,
        need_weights=False,
    )
    return attended
