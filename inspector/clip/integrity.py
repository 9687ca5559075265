"""Values that honest tuning does not give: findings with their numbers, none of them a verdict.

Limits are far outside of what was measured on the 22 files that the original research codes wrote
and on 57 prompts tuned on `pocket`, clean and attacked (experiment 21): they point to tensors that
were edited, not to backdoors. Knows no family and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from inspector.checkpoint.families.parts import Cache, MetaNet, Parts
from inspector.clip.backbone import Backbone
from inspector.findings import Finding, Severity

CONTEXT_LIMIT = 2000.0
"""Largest norm of a context vector, in norms of the median row of the token embedding.
Measured: 1.04 to 459."""
SPREAD_LIMIT = 200.0
"""Largest norm of a context vector over the median one of its file. Measured: 1.05 to 49."""
GAIN_LIMIT = 1000.0
"""Product of the largest singular values of a meta-net's layers, in norms of the median row: how
far a feature of norm 1 can move a context vector. Measured: 9.8 to 335."""
RANK_LIMIT = 30.0
"""Largest singular value of a low-rank change, in that of the first text block's output projection.
Measured on two files of few steps only: 0.09 and 0.27."""


def integrity_findings(parts: Parts, backbone: Backbone) -> list[Finding]:
    """What is out of all proportion in the prompts, meta-net, low-rank changes and cache of a file.

    `backbone` is the trusted one.
    """
    unit = float(backbone.text.token_embedding.detach().float().norm(dim=1).median())
    findings = list(_context(parts, unit))
    if parts.meta_net is not None:
        findings += _meta_net(parts.meta_net, unit)
    if parts.low_rank or (parts.edits and parts.edits.low_rank):
        findings += _low_rank(parts, backbone)
    if parts.cache is not None:
        findings += _cache(parts.cache)
    return findings


def _context(parts: Parts, unit: float) -> Iterator[Finding]:
    vectors = [some for some in (parts.context, *parts.text_prompts.values()) if some is not None]
    norms = torch.cat([torch.zeros(0), *(some.float().norm(dim=-1).flatten() for some in vectors)])
    if not len(norms):
        return
    largest, median = float(norms.max()), float(norms.median())
    if largest > CONTEXT_LIMIT * unit:
        yield _finding(
            "context-extreme",
            f"a context vector has norm {largest:.4g}, {largest / unit:.4g} times that of the "
            f"median row of the token embedding (limit {CONTEXT_LIMIT:g})",
        )
    if largest > SPREAD_LIMIT * median:
        yield _finding(
            "context-outlier",
            f"a context vector has norm {largest:.4g}, {_ratio(largest, median)} times that of the "
            f"median one of {len(norms)} (limit {SPREAD_LIMIT:g})",
        )


def _meta_net(net: MetaNet, unit: float) -> Iterator[Finding]:
    gains = [_top(net.layers[f"linear{layer}.weight"]) for layer in (1, 2)]
    gain = gains[0] * gains[1]
    if gain > GAIN_LIMIT * unit:
        yield _finding(
            "meta-net-extreme",
            f"the layers of the meta-net have largest singular values {gains[0]:.4g} and "
            f"{gains[1]:.4g}: a feature can move the context by {gain / unit:.4g} median rows of "
            f"the token embedding (limit {GAIN_LIMIT:g})",
        )


def _low_rank(parts: Parts, backbone: Backbone) -> Iterator[Finding]:
    text = getattr(backbone.model, "text", backbone.model)
    unit = _top(text.transformer.resblocks[0].attn.out_proj.weight)
    sizes = {name: _top_of_product(up, down) for name, up, down in _changes(parts)}
    name = max(sizes, key=lambda key: sizes[key])
    if sizes[name] > RANK_LIMIT * unit:
        yield _finding(
            "low-rank-extreme",
            f"{name} changes a weight by a matrix of largest singular value {sizes[name]:.4g}, "
            f"{sizes[name] / unit:.4g} times that of the backbone's first (limit {RANK_LIMIT:g})",
        )


def _changes(parts: Parts) -> Iterator[tuple[str, Tensor, Tensor]]:
    """By its name, B and A of every change; CLIP-LoRA's without a factor, which may be unstated."""
    for name in {name.rpartition(".")[0] for name in parts.low_rank}:
        up, down = (parts.low_rank[f"{name}.w_lora_{matrix}"].float() for matrix in "BA")
        yield name, up, down
    for place, change in parts.edits.low_rank.items() if parts.edits else ():
        yield place.name, change.up.float() * change.scale, change.down.float()


def _cache(cache: Cache) -> Iterator[Finding]:
    values = cache.values.float()
    is_label = ((values == 1).sum(1) == 1) & ((values != 0).sum(1) == 1)
    if not bool(is_label.all()):
        count = int((~is_label).sum())
        yield _finding(
            "cache-labels-altered",
            f"{count} of {len(values)} rows of the cache are no single label",
        )


def _top(matrix: Tensor) -> float:
    """The largest singular value; 0 of a matrix that is not finite, which no assembly accepts."""
    values = matrix.detach().cpu().float()
    if not bool(torch.isfinite(values).all()):
        return 0.0
    return float(torch.linalg.matrix_norm(values, 2))


def _top_of_product(up: Tensor, down: Tensor) -> float:
    """The largest singular value of B (out, r) times A (r, in), whose product may be far larger."""
    if not bool(torch.isfinite(up).all() and torch.isfinite(down).all()):
        return 0.0
    left, right = torch.linalg.qr(up).R, torch.linalg.qr(down.T).R
    return _top(left @ right.T)


def _ratio(large: float, small: float) -> str:
    return f"{large / small:.4g}" if small else "infinitely many"


def _finding(identifier: str, message: str) -> Finding:
    return Finding(identifier, Severity.MEDIUM, message)
