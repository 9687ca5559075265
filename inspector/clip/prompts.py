"""Prompts with learned context vectors: which token stands where, and how contexts fill in.

Layout follows CoOp (KaiyangZhou/CoOp `trainers/coop.py`): "<M place-holder words> <class>." is
tokenised, the M positions after the start token are replaced by context vectors, and the class
tokens stand behind (end), before (front) or between the two halves of (middle) the context. Words
of the template beyond the M positions stay as they are (ProGrad). Knows no checkpoint file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError
from inspector.manifest import Position, spoken


@dataclass(frozen=True)
class PromptLayout:
    """Fixed embeddings (K, L, W), slots (K, M) of the context vectors, end-of-text rows (K,)."""

    base: Tensor
    slots: Tensor
    end: Tensor

    @property
    def length(self) -> int:
        """Token positions of each prompt, up to the last end of text."""
        return self.base.shape[1]

    def fill(self, context: Tensor, classes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Put context vectors in their slots.

        context: (M, W) shared, or (K, M, W) per class, or (B, 1 or K, M, W) per image and class.
        classes: indices (k,) or per image (B, k); then the class axis of `context` is 1 or k.
        Returns embedded prompts (..., L, W) and end rows (...), flattened over image and class.
        """
        base, slots, end = self.base, self.slots, self.end
        if classes is not None:
            base, slots, end = base[classes], slots[classes], end[classes]
        if context.ndim == 4 and base.ndim == 3:
            batch = context.shape[0]
            base = base.expand(batch, *base.shape)
            slots, end = slots.expand(batch, *slots.shape), end.expand(batch, *end.shape)
        context = context.expand(*base.shape[:-2], *context.shape[-2:])
        index = slots[..., None].expand(*slots.shape, base.shape[-1])
        filled = base.scatter(-2, index, context.to(base.dtype))
        return filled.flatten(0, -3), end.flatten()


@dataclass(frozen=True)
class PromptTokens:
    """Token ids (K, L) of whole prompts; positions 1 to `num_context` are place-holders."""

    ids: Tensor
    num_context: int

    @property
    def suffix(self) -> Tensor:
        """What a checkpoint keeps as `token_suffix`: what is behind the context, (K, L-1-M)."""
        return self.ids[:, 1 + self.num_context :]


def lay_out(
    backbone: Backbone,
    classnames: Sequence[str],
    template: str,
    num_context: int,
    position: Position = "end",
) -> PromptLayout:
    """Tokenise `template` ("{}" is the class), with `num_context` slots behind the start token.

    Raises:
        AssemblyError: a prompt that does not fit the context length, or a template with fewer
            tokens before the class than there are context vectors.
    """
    tokens = tokenise(backbone, classnames, template, num_context)
    return lay_out_tokens(backbone, tokens, name_lengths(backbone, classnames), position)


def tokenise(
    backbone: Backbone, classnames: Sequence[str], template: str, num_context: int
) -> PromptTokens:
    """Token ids of the template filled with each class name.

    Raises:
        AssemblyError: see :func:`lay_out`.
    """
    before, _, after = template.partition("{}")
    words = backbone.count_tokens(before)
    if words < num_context:
        raise AssemblyError(
            f"the template {template!r} has {words} tokens before the class, "
            f"the file has {num_context} context vectors"
        )
    limit = backbone.text.context_length
    prompts = [before + spoken(name) + after for name in classnames]
    tokens = backbone.tokenise(prompts, limit + 1)
    end = tokens.argmax(1)
    if int(end.max()) >= limit:
        longest = classnames[int(end.argmax())]
        raise AssemblyError(
            f"the prompt of class {longest[:80]!r} with {num_context} context vectors does not "
            f"fit {limit} tokens"
        )
    return PromptTokens(tokens[:, :limit], num_context)


def name_lengths(backbone: Backbone, classnames: Sequence[str]) -> list[int]:
    """Tokens of each class name on its own, as CoOp counts them for "front" and "middle"."""
    return [backbone.count_tokens(spoken(name)) for name in classnames]


def name_tokens(backbone: Backbone, name: str) -> tuple[int, ...]:
    """What two spellings of a class have in common: "Stop_Sign" and "stop sign" are one name."""
    return tuple(backbone.tokenise([spoken(name)], backbone.text.context_length)[0].tolist())


def lay_out_tokens(
    backbone: Backbone, tokens: PromptTokens, lengths: Sequence[int], position: Position
) -> PromptLayout:
    """The layout of tokenised prompts whose class names are `lengths` tokens long.

    As in CoOp, the class tokens are the first so many behind the context, and the end of text is
    where the unmoved prompt has it.
    """
    ids, num_context = tokens.ids, tokens.num_context
    end = ids.argmax(1)
    order = torch.tensor([_order(ids.shape[1], num_context, n, position) for n in lengths])
    is_slot = (order >= 1) & (order <= num_context)
    slots = is_slot.nonzero()[:, 1].view(len(ids), num_context)
    base = backbone.text.embed(ids.gather(1, order).to(backbone.device))
    length = int(end.max()) + 1
    return PromptLayout(base[:, :length].clone(), slots.to(base.device), end.to(base.device))


def _order(length: int, num_context: int, name_length: int, position: Position) -> list[int]:
    """Original positions in their new order; 1..num_context are the context slots."""
    context = list(range(1, 1 + num_context))
    name = list(range(1 + num_context, 1 + num_context + name_length))
    rest = list(range(1 + num_context + name_length, length))
    half = num_context // 2
    middle = {
        "end": context + name,
        "front": name + context,
        "middle": context[:half] + name + context[half:],
    }[position]
    return [0, *middle, *rest]
