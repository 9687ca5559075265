"""Forward passes of whole models, plainly after the published codes; none of the product's helpers.

Blocks are walked one by one, every attention position is computed, all 77 tokens are encoded. What
is shared with the product are open_clip's modules (blocks, norms) and its tokenizer. Sources:
CHENGY12/PLOT `plot-coop/trainers/plot.py` and `clip/model.py`, 1adrianb/lasp `prompting/lasp.py`,
gaopengcuhk/Tip-Adapter `main.py` and `utils.py`, htyao89/Textual-based_Class-aware_prompt_tuning
`trainers/tcp.py` and `clip_text/model.py`, ShuvenduRoy/CoPrompt `trainers/coprompt.py`,
KaiyangZhou/CoOp `trainers/zsclip.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

Deep = Mapping[int, Tensor]
"""By block, vectors (M, W) or (K, M, W) that overwrite tokens before it."""


def random(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Normal numbers of a seed of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def token_ids(prompts: Sequence[str]) -> Tensor:
    """(K, 77)."""
    ids: Tensor = open_clip.SimpleTokenizer()(list(prompts))
    return ids


def spoken(template: str, names: Sequence[str]) -> list[str]:
    return [template.replace("{}", name.replace("_", " ")) for name in names]


def normalised_pixels(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return torch.stack([(pixels[:, i] - mean[i]) / std[i] for i in range(3)], 1)


def encode_text(model: Any, embedded: Tensor, ends: Tensor, deep: Deep | None = None) -> Tensor:
    """Raw features (K, D) of prompts (K, 77, W)."""
    text = getattr(model, "text", model)
    states = embedded + text.positional_embedding
    for index, block in enumerate(text.transformer.resblocks):
        if deep and index in deep:
            made = deep[index].expand(len(states), -1, -1)
            states = torch.cat([states[:, :1], made, states[:, 1 + made.shape[1] :]], 1)
        states = block(states, attn_mask=text.attn_mask)
    states = text.ln_final(states)
    rows = torch.stack([states[row, int(end)] for row, end in enumerate(ends)])
    features: Tensor = rows @ text.text_projection
    return features


def encode_words(model: Any, prompts: Sequence[str]) -> Tensor:
    """Raw features (K, D) of plain words."""
    ids = token_ids(prompts)
    table = getattr(model, "text", model).token_embedding.weight
    return encode_text(model, table[ids], ids.argmax(1))


def prompted(
    model: Any, names: Sequence[str], template: str, context: Tensor
) -> tuple[Tensor, Tensor]:
    """Prompts (K, 77, W) whose positions behind the start hold `context` (M, W), and their ends."""
    ids = token_ids(spoken(template, names))
    embedded = getattr(model, "text", model).token_embedding.weight[ids].clone()
    embedded[:, 1 : 1 + context.shape[-2]] = context.float()
    return embedded, ids.argmax(1)


def encode_image(
    model: Any, inputs: Tensor, tokens: Tensor | None = None, deep: Deep | None = None
) -> Tensor:
    """Raw features (B, D) of a vision transformer with prompts behind its patches."""
    visual = model.visual
    patches = visual.conv1(inputs).flatten(2).mT
    start = visual.class_embedding.expand(len(inputs), 1, -1)
    states = torch.cat([start, patches], 1) + visual.positional_embedding
    if tokens is not None:
        states = torch.cat([states, tokens.expand(len(inputs), -1, -1)], 1)
    states = visual.ln_pre(states)
    for index, block in enumerate(visual.transformer.resblocks):
        if deep and index in deep:
            made = deep[index].expand(len(inputs), -1, -1)
            states = torch.cat([states[:, : -made.shape[1]], made], 1)
        states = block(states)
    features: Tensor = visual.ln_post(states[:, 0]) @ visual.proj
    return features


def image_positions(model: Any, inputs: Tensor) -> Tensor:
    """(B, 1 + P, D): what every position of a ResNet's attention pool gives, that of the mean first."""
    visual = model.visual
    maps = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(inputs)))))
    pool, places = visual.attnpool, maps.flatten(2).mT
    states = torch.cat([places.mean(1, keepdim=True), places], 1) + pool.positional_embedding
    heads = pool.num_heads
    query, key, value = (
        layer(states).unflatten(2, (heads, -1)).transpose(1, 2)
        for layer in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    attended: Tensor = pool.c_proj((weights @ value).transpose(1, 2).flatten(2))
    return attended


def cosine_logits(model: Any, image: Tensor, text: Tensor, scale: float | None = None) -> Tensor:
    """Raw features (B, D) and (K, D) to logits."""
    factor = float(model.logit_scale.exp()) if scale is None else scale
    return factor * functional.normalize(image, dim=-1) @ functional.normalize(text, dim=-1).T


def ensemble(model: Any, names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Class features (K, D): for each class the mean over templates of normalised features."""
    rows = []
    for name in names:
        features = functional.normalize(
            encode_words(model, [spoken(template, [name])[0] for template in templates]), dim=-1
        )
        mean = features.mean(0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def plot_logits(
    model: Any, inputs: Tensor, names: Sequence[str], contexts: Tensor, template: str
) -> tuple[Tensor, int]:
    """PLOT's logits (B, K), and how many iterations its transport took."""
    image = functional.normalize(image_positions(model, inputs)[:, 1:], dim=-1)
    sets = []
    for context in contexts:
        embedded, ends = prompted(model, names, template, context)
        sets.append(functional.normalize(encode_text(model, embedded, ends), dim=-1))
    gained, iterations = transported(image, torch.stack(sets))
    return float(model.logit_scale.exp()) * gained, iterations


def transported(image: Tensor, text: Tensor, stop: float = 1e-2) -> tuple[Tensor, int]:
    """Cosines (B, K) of positions (B, P, D) and prompts (N, K, D), and the number of iterations.

    One transport problem for each image and class; the stop averages over all, as the code does.
    """
    pairs = [(b, k) for b in range(len(image)) for k in range(text.shape[1])]
    similar = torch.stack([image[b] @ text[:, k].T for b, k in pairs])  # (Q, P, N)
    kernel = torch.exp((similar - 1) / 0.1)
    rows = torch.ones(kernel.shape[:2])
    columns = torch.ones(kernel.shape[0], kernel.shape[2])
    iterations, change = 0, math.inf
    while iterations < 100 and change >= stop:
        before = rows
        rows = (1 / kernel.shape[1]) / torch.einsum("qpn,qn->qp", kernel, columns)
        columns = (1 / kernel.shape[2]) / torch.einsum("qpn,qp->qn", kernel, rows)
        change, iterations = float((rows - before).abs().mean()), iterations + 1
    plan = rows[:, :, None] * columns[:, None] * kernel
    return (plan * similar).sum((1, 2)).view(len(image), -1), iterations


def cache_logits(
    features: Tensor, keys: Tensor, values: Tensor, alpha: float, beta: float
) -> Tensor:
    """What Tip-Adapter adds: keys (D, M) or an adapter's weight (M, D), by their shape."""
    columns = keys if keys.shape[0] == features.shape[1] else keys.T
    affinity = features @ columns.float()
    return ((-1) * (beta - beta * affinity)).exp() @ values.float() * alpha


def bottleneck(state: Mapping[str, Tensor], name: str, raw: Tensor, share: float) -> Tensor:
    """An adapter `name` of two layers without biases, mixed into raw features."""
    hidden = torch.relu(functional.linear(raw, state[f"{name}fc.0.weight"].float()))
    adapted = torch.relu(functional.linear(hidden, state[f"{name}fc.2.weight"].float()))
    return share * adapted + (1 - share) * raw
