"""What a file of CLIP's own tensors is that is no classifier by text, in words for the message.

A head of classes behind the image encoder, or one tower alone. Knows names and shapes only.
Sources: huggingface/transformers ``models/clip/modeling_clip.py`` (``CLIPForImageClassification``
and the towers), mlfoundations/wise-ft ``src/models/modeling.py`` (a head beside a whole model).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_IMAGE = re.compile(r"(?:.*\.)?(?:visual|vision_model|image_encoder)\..+")
_TEXT = re.compile(
    r"(?:.*\.)?(?:text_model|text_encoder|token_embedding|text_projection|text)\b.*"
    r"|(?:[a-z_]+\.)?transformer\.resblocks\..+"
)
_HEAD = re.compile(
    r"(?:[A-Za-z0-9_]+\.)*?(?:[a-z]+_)?(?:head|heads|fc|ff|classifier|classification|cls|linear|mlp|logits)"
    r"[a-z0-9_]*(?:\.[A-Za-z0-9_]+){0,2}\.weight"
)
_LEARNERS = ("adapter", "meta_net", "prompt")
"""In names of layers that make prompts or change features."""
_REMEDY = (
    "what is inspected are CLIP models that classify by their text encoder; ask the vendor for the "
    "whole CLIP and its class names, if it is to be used so"
)


def head_of(shapes: Mapping[str, tuple[int, ...]], odd: Iterable[str]) -> str:
    """A sentence on the head of classes among the ``odd`` names, beside an image encoder.

    Empty where there is none.
    """
    if not any(map(_IMAGE.fullmatch, shapes)):
        return ""
    heads = [
        name
        for name in odd
        if _HEAD.fullmatch(name)
        and len(shapes[name]) == 2
        and not (_IMAGE.fullmatch(name) or _TEXT.fullmatch(name))
        and not any(word in name for word in _LEARNERS)
    ]
    if not heads:
        return ""
    last = max(heads)
    return f"a CLIP image encoder with a head of {shapes[last][0]} classes ({last}); {_REMEDY}"


def described(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A sentence on what the tensors of no family are, empty where we do not know either."""
    head = head_of(shapes, shapes)
    if head:
        return head
    image = [name for name in shapes if _IMAGE.fullmatch(name)]
    text = [name for name in shapes if name not in image and _TEXT.fullmatch(name)]
    if 2 * (len(image) + len(text)) <= len(shapes) or bool(image) is bool(text):
        return ""
    tower, other = ("image", "text") if image else ("text", "image")
    return f"the {tower} encoder of a CLIP alone, without its {other} encoder; {_REMEDY}"
