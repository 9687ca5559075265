"""From the tensors of a whole-model file to its encoders: weights, prompts inside, adapters.

Prompts that the original code rounds to half precision on every forward pass (MaPLe's repository,
`.half()` in `clip/model.py`) are rounded here, once. Sources: see the families of
`inspector.checkpoint`, and for CoPrompt's ratios ShuvenduRoy/CoPrompt `trainers/coprompt.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import MetaNet
from inspector.clip.delivered import Adapter, DeliveredEncoders, VisualPrompts
from inspector.clip.lora import merged
from inspector.clip.weights import own_weights
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.findings import Finding
from inspector.manifest import Manifest

LEARNER = "prompt_learner."
_VISUAL = "image_encoder.VPT"
_COUPLED, _INDEPENDENT = ("MaPLe", "CoPrompt"), ("IVLP", "PromptSRC", "VPT")
WHOLE = (*_COUPLED, *_INDEPENDENT)
"""Families whose files hold the encoders, too."""
_COPROMPT_RATIOS = {"image": 0.1, "text": 0.2}
_CLIP_ADAPTER_RATIO = 0.2
_TCP_BLOCK = 8
"""Where the original code puts the class's vectors in, unless the manifest says otherwise."""


@dataclass(frozen=True)
class _Prompts:
    """Vectors that a family puts into the two transformers."""

    visual: VisualPrompts | None
    text: Mapping[int, Tensor]


def delivered_encoders(
    tensors: Mapping[str, Tensor], reading: Reading, manifest: Manifest, backbone: Backbone
) -> tuple[Backbone, list[Finding]]:
    """The encoders that the file makes of `backbone`, and what is remarkable about them.

    Of the manifest only the ratio of an adapter is used, which the file cannot say.

    Raises:
        BackboneMismatch: tensors that do not fit the backbone.
        AssemblyError: tensors that are not finite.
    """
    family = reading.family or ""
    if family == "CLIP-Adapter":
        adapter = _adapter(tensors, "", manifest.adapter_ratio or _CLIP_ADAPTER_RATIO, backbone)
        return DeliveredEncoders(**vars(backbone), pristine=backbone, image_adapter=adapter), []
    if family == "CLIP-LoRA":
        changed = vars(backbone) | {"model": merged(tensors, reading.metadata, backbone)}
        return DeliveredEncoders(**changed, pristine=backbone), []
    if family not in WHOLE:
        return backbone, []
    prompts = (_coupled if family in _COUPLED else _independent)(tensors)
    _check_prompts(prompts, backbone)
    model, findings = own_weights(tensors, family, backbone)
    encoders = DeliveredEncoders(
        **vars(backbone) | {"model": model},
        pristine=backbone,
        visual_prompts=prompts.visual,
        text_prompts=prompts.text,
    )
    if family == "CoPrompt":
        image, text = (
            _adapter(tensors, f"adapter_{side}.", ratio, backbone)
            for side, ratio in _COPROMPT_RATIOS.items()
        )
        encoders = replace(encoders, image_adapter=image, text_adapter=text)
    return encoders, findings


def class_aware(
    encoders: Backbone, meta_net: MetaNet, classnames: list[str], manifest: Manifest
) -> Backbone:
    """TCP: vectors (K, M, W) made of each class's zero-shot feature, before a later text block.

    Raises:
        BackboneMismatch: there is no such block.
        AssemblyError: the vectors are not finite.
    """
    template = manifest.class_branch_template
    if template is None:
        _, _, after = (manifest.template or "{}.").partition("{}")
        template = "a photo of a {}" + after
    features = encoders.reference.zero_shot(classnames, template)
    with torch.no_grad():
        made = meta_net(features).view(len(classnames), -1, encoders.text.width)
    block = _TCP_BLOCK if manifest.text_block is None else manifest.text_block
    prompts = _Prompts(None, {block: made})
    _check_prompts(prompts, encoders)
    return DeliveredEncoders(**vars(encoders), pristine=encoders, text_prompts=prompts.text)


def _coupled(tensors: Mapping[str, Tensor]) -> _Prompts:
    """MaPLe: the image encoder gets projections of the text prompts."""

    def projected(vectors: Tensor, name: str) -> Tensor:
        weight, bias = tensors[f"{LEARNER}{name}.weight"], tensors[f"{LEARNER}{name}.bias"]
        return _rounded(torch.nn.functional.linear(vectors.float(), weight.float(), bias.float()))

    texts = _listed(tensors, f"{LEARNER}compound_prompts_text.{{}}", first=0)
    deep = [projected(t, f"compound_prompt_projections.{i}") for i, t in enumerate(texts)]
    tokens = projected(tensors[f"{LEARNER}ctx"], "proj")
    return _Prompts(VisualPrompts(tokens, _from_block_1(deep)), _from_block_1(map(_rounded, texts)))


def _independent(tensors: Mapping[str, Tensor]) -> _Prompts:
    """IVLP, PromptSRC and VPT: every layer's vectors are in the file."""
    block = "_encoder.transformer.resblocks.{}.VPT_shallow"
    image, text = (_listed(tensors, side + block, first=1) for side in ("image", "text"))
    visual = None
    if _VISUAL in tensors:
        visual = VisualPrompts(_rounded(tensors[_VISUAL]), _from_block_1(map(_rounded, image)))
    return _Prompts(visual, _from_block_1(map(_rounded, text)))


def _listed(tensors: Mapping[str, Tensor], pattern: str, first: int) -> list[Tensor]:
    found: list[Tensor] = []
    while pattern.format(first + len(found)) in tensors:
        found.append(tensors[pattern.format(first + len(found))])
    return found


def _from_block_1(layers: Iterable[Tensor]) -> dict[int, Tensor]:
    return dict(enumerate(layers, 1))


def _rounded(vectors: Tensor) -> Tensor:
    return vectors.half().float()


def _check_prompts(prompts: _Prompts, backbone: Backbone) -> None:
    """That every vector is finite, as wide as its transformer, and before a block that exists."""
    visual, text = backbone.model.visual, backbone.text
    if prompts.visual is not None:
        if getattr(visual, "class_embedding", None) is None:
            raise BackboneMismatch(
                f"visual prompts need a vision transformer, backbone {backbone.id!r} has none"
            )
        width, blocks = len(visual.class_embedding), len(visual.transformer.resblocks)
        layers = {0: prompts.visual.tokens} | dict(prompts.visual.deep)
        _check_vectors(layers, width, blocks, "image")
    _check_vectors(prompts.text, text.width, text.depth, "text")


def _check_vectors(layers: Mapping[int, Tensor], width: int, blocks: int, side: str) -> None:
    for block, vectors in layers.items():
        if block >= blocks:
            raise BackboneMismatch(
                f"{side} prompts before block {block}, the {side} encoder has {blocks} blocks"
            )
        if vectors.shape[-1] != width:
            raise BackboneMismatch(
                f"{side} prompts have width {vectors.shape[-1]}, the {side} encoder {width}"
            )
        if not bool(torch.isfinite(vectors).all()):
            raise AssemblyError(f"{side} prompts hold NaN or infinity, so there are no logits")


def _adapter(
    tensors: Mapping[str, Tensor], prefix: str, ratio: float, backbone: Backbone
) -> Adapter:
    first, second = (tensors[f"{prefix}fc.{layer}.weight"].float() for layer in (0, 2))
    if first.shape[1] != backbone.embed_dim:
        raise BackboneMismatch(
            f"{prefix}fc.0.weight takes features of size {first.shape[1]}, those of backbone "
            f"{backbone.id!r} have size {backbone.embed_dim}"
        )
    if not bool(torch.isfinite(first).all() & torch.isfinite(second).all()):
        raise AssemblyError(f"{prefix}fc holds NaN or infinity, so there are no logits")
    device = backbone.device
    return Adapter(first.to(device), second.to(device), ratio)
