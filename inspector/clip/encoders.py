"""From the parts of a file to its encoders: weights, prompts inside, adapters, the factor.

Everything is checked against the backbone before it is used. Which tensor is what was said by the
family (`inspector.checkpoint.families`); here no family is known by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.checkpoint.families import Family
from inspector.checkpoint.families.parts import Bottleneck, Parts
from inspector.checkpoint.reading import Scalar
from inspector.clip.backbone import Backbone
from inspector.clip.delivered import (
    Adapter,
    ClassBranch,
    DeliveredEncoders,
    OnFeatures,
    Shift,
    VisualPrompts,
)
from inspector.clip.edits import edited
from inspector.clip.lora import merged
from inspector.clip.weights import own_weights
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.findings import Finding
from inspector.manifest import Manifest

_CLASS_BLOCK = 8
"""Where TCP's code puts the class's vectors in, unless the manifest says otherwise."""


def delivered_encoders(
    parts: Parts, family: Family, reading: Reading, manifest: Manifest, backbone: Backbone
) -> tuple[Backbone, list[Finding]]:
    """The encoders that the file makes of `backbone`, and what is remarkable about them.

    Of the manifest, the ratio of an adapter and LoRA's alpha are used where
    a file may not say them.

    Raises:
        BackboneMismatch: tensors that do not fit the backbone.
        AssemblyError: tensors that are not finite.
    """
    if parts.leaves_encoders:
        return backbone, []
    _check_positions(parts, manifest, backbone)
    visual = _visual_prompts(parts, backbone)
    model: Any = backbone.model
    findings: list[Finding] = []
    if parts.weights:
        model, findings = own_weights(parts.weights, family, backbone)
    if parts.low_rank:
        model = merged(parts.low_rank, lora_settings(reading, manifest), backbone)
    if parts.edits is not None:
        model, findings = edited(parts.edits, family, backbone)
    encoders = DeliveredEncoders(
        **vars(backbone) | {"model": model},
        pristine=backbone,
        visual_prompts=visual,
        text_prompts=_checked(parts.text_prompts, backbone.text.width, backbone.text.depth, "text"),
        on_image=_adapter(parts.image_adapter, manifest, backbone)
        or _shift(parts.image_shift, "image", backbone),
        on_text=_adapter(parts.text_adapter, manifest, backbone)
        or _shift(parts.text_shift, "text", backbone),
        scale=parts.logit_scale,
        has_positions=parts.is_transported,
    )
    return encoders, findings


def lora_settings(reading: Reading, manifest: Manifest) -> Mapping[str, Scalar]:
    """What CLIP-LoRA's file says of itself; alpha from the manifest where the file has none."""
    stated = {"alpha": manifest.alpha} if reading.metadata.get("alpha") is None else {}
    tried = {} if manifest.tried_alpha is None else {"alpha": manifest.tried_alpha}
    return {**reading.metadata, **stated, **tried}


def class_aware(
    encoders: Backbone, layers: Mapping[str, Tensor], classnames: list[str], manifest: Manifest
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
    block = _CLASS_BLOCK if manifest.text_block is None else manifest.text_block
    branch = ClassBranch(encoders.reference.zero_shot(classnames, template), block)
    with torch.no_grad():
        made = branch.vectors(layers, encoders.text.width)
    prompts = _checked({block: made}, encoders.text.width, encoders.text.depth, "text")
    own = encoders
    if not isinstance(own, DeliveredEncoders):
        own = DeliveredEncoders(**vars(encoders), pristine=encoders)
    return replace(own, text_prompts=prompts, class_branch=branch)


def relearned(encoders: Backbone, parts: Parts) -> Backbone:
    """The encoders with what `parts` learned in the place of what they have of it.

    Gradients pass through to the parts. They are of the file that the encoders were made of, with
    other values, so that shapes fit.
    """
    if not isinstance(encoders, DeliveredEncoders):
        return encoders
    text, branch = parts.text_prompts, encoders.class_branch
    if branch is not None:
        assert parts.meta_net is not None
        text = {branch.block: branch.vectors(parts.meta_net.layers, encoders.text.width)}
    visual = None
    if parts.visual_tokens is not None:
        visual = VisualPrompts(parts.visual_tokens, parts.visual_prompts)
    return replace(
        encoders,
        text_prompts=text,
        visual_prompts=visual,
        on_image=_relearned(encoders.on_image, parts.image_adapter, parts.image_shift),
        on_text=_relearned(encoders.on_text, parts.text_adapter, parts.text_shift),
    )


def _relearned(
    there: OnFeatures | None, adapter: Bottleneck | None, shift: Tensor | None
) -> OnFeatures | None:
    if isinstance(there, Adapter) and adapter is not None:
        return Adapter(adapter.first.float(), adapter.second.float(), there.ratio)
    if isinstance(there, Shift) and shift is not None:
        return Shift(shift.float())
    return there


def _visual_prompts(parts: Parts, backbone: Backbone) -> VisualPrompts | None:
    if parts.visual_tokens is None:
        return None
    visual = backbone.model.visual
    if getattr(visual, "class_embedding", None) is None:
        raise BackboneMismatch(
            f"visual prompts need a vision transformer, backbone {backbone.id!r} has none"
        )
    width, blocks = len(visual.class_embedding), len(visual.transformer.resblocks)
    layers = {0: parts.visual_tokens} | dict(parts.visual_prompts)
    _checked(layers, width, blocks, "image")
    return VisualPrompts(parts.visual_tokens, parts.visual_prompts)


def _checked(
    layers: Mapping[int, Tensor], width: int, blocks: int, side: str
) -> Mapping[int, Tensor]:
    """Layers of vectors that are finite, as wide as their transformer, before blocks that exist."""
    for block, vectors in layers.items():
        if block >= blocks:
            raise BackboneMismatch(
                f"{side} prompts before block {block}, the {side} encoder has {blocks} blocks"
            )
        if vectors.shape[-1] != width:
            raise BackboneMismatch(
                f"{side} prompts have width {vectors.shape[-1]}, the {side} encoder {width}"
            )
        check_finite(f"{side} prompts", vectors)
    return layers


def check_finite(name: str, *tensors: Tensor) -> None:
    """Raises AssemblyError where a value is NaN or infinite."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise AssemblyError(f"{name} holds NaN or infinity, so there are no logits")


def _adapter(part: Bottleneck | None, manifest: Manifest, backbone: Backbone) -> OnFeatures | None:
    if part is None:
        return None
    first, second = part.first.float(), part.second.float()
    if first.shape[1] != backbone.embed_dim:
        raise BackboneMismatch(
            f"{part.name}fc.0.weight takes features of size {first.shape[1]}, those of backbone "
            f"{backbone.id!r} have size {backbone.embed_dim}"
        )
    check_finite(f"{part.name}fc", first, second)
    stated = manifest.adapter_ratio if part.is_stated else None
    device = backbone.device
    return Adapter(first.to(device), second.to(device), part.ratio if stated is None else stated)


def _shift(shift: Tensor | None, side: str, backbone: Backbone) -> OnFeatures | None:
    if shift is None:
        return None
    by = shift.float()
    if by.shape[-1] != backbone.embed_dim:
        raise BackboneMismatch(
            f"the shift of {side} features has size {by.shape[-1]}, those of backbone "
            f"{backbone.id!r} have size {backbone.embed_dim}"
        )
    check_finite(f"the shift of {side} features", by)
    return Shift(by.to(backbone.device))


def _check_positions(parts: Parts, manifest: Manifest, backbone: Backbone) -> None:
    if not parts.is_transported:
        return
    if not hasattr(backbone.model.visual, "attnpool"):
        raise BackboneMismatch(
            f"PLOT needs the attention pool of a ResNet, backbone {backbone.id!r} has none"
        )
    if manifest.dataset == "ImageNet":
        raise AssemblyError(
            "on the data set ImageNet PLOT's code adds pooled logits, which is not supported"
        )
