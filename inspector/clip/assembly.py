"""From a vendor's canonical tensors to a classifier: reading + manifest + backbone.

All families share one forward pass: encoders, a context, fixed tokens around it and, for some, a
meta-net or a cache. What the file can say is read from it, above all the class names; where the
manifest differs, the file wins and a finding says so. Forward passes: KaiyangZhou/CoOp
`trainers/{coop,cocoop}.py`, htyao89/KgCoOp `trainers/kgcoop.py`, BeierZhu/Prompt-align
`trainers/prograd.py`, jiawangbai/BadCLIP `trainers/badclip.py`. Tensors saved in fp16 are raised to
fp32, in which everything is computed. Does not judge; see `inspector.clip.level`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint import Reading, families
from inspector.checkpoint.families import Family
from inspector.checkpoint.families.parts import Cache, Parts
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier, MetaNet
from inspector.clip.classlist import ClassList
from inspector.clip.differences import differences
from inspector.clip.encoders import check_finite, class_aware, delivered_encoders
from inspector.clip.fixed import fixed_prompts, prefix_findings
from inspector.clip.integrity import integrity_findings
from inspector.clip.matching import CacheModel, Matching
from inspector.clip.prompts import PromptTokens, lay_out_tokens, name_lengths
from inspector.clip.statement import with_statement
from inspector.clip.weights import restored_rows
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from inspector.findings import Finding
from inspector.manifest import Manifest


@dataclass(frozen=True)
class Assembly:
    """A classifier and what was learned by building it.

    `family` is the method where the manifest names one that the file may be, else the file's own;
    `findings` include those of the class list.
    """

    classifier: Classifier
    classes: ClassList
    family: str
    findings: tuple[Finding, ...]


def assemble(reading: Reading, canonical: Path, manifest: Manifest, backbone: Backbone) -> Assembly:
    """Build the classifier that the file holds.

    Args:
        canonical: the canonical tensors of `reading`.

    Raises:
        AssemblyError: the three do not fit together; `finding_id` and `detail` make the finding.
    """
    return assemble_tensors(reading, load_file(canonical), manifest, backbone)


def assemble_tensors(
    reading: Reading, tensors: Mapping[str, Tensor], manifest: Manifest, backbone: Backbone
) -> Assembly:
    """The same of canonical tensors at hand: the file's own, or those of a repaired copy.

    Raises:
        AssemblyError: see `assemble`.
    """
    if reading.family is None:
        raise AssemblyError("the file belongs to no family that can be assembled", "unknown-family")
    family = families.named(reading.family)
    parts = family.parts(tensors)
    stated = with_statement(parts.statement, manifest)
    manifest = stated.manifest
    name, findings = differences(reading, manifest, backbone)
    backbone = replace(
        backbone, mean=manifest.mean or backbone.mean, std=manifest.std or backbone.std
    )
    encoders, own = delivered_encoders(parts, family, reading, manifest, backbone)
    own += integrity_findings(parts, backbone)
    parts = _completed(parts, family, encoders)
    prompts, classes = fixed_prompts(parts, manifest, encoders)
    if stated.is_own:
        classes = replace(classes, source="decoded", match=stated.match)
    classifier = _classifier(parts, family, (prompts, classes), manifest, encoders)
    findings += [*stated.findings, *own, *classes.findings, *prefix_findings(parts, encoders)]
    return Assembly(classifier.to(encoders.device), classes, name, tuple(findings))


def _classifier(
    parts: Parts, family: Family, fixed: tuple[PromptTokens, ClassList], manifest: Manifest,
    encoders: Backbone,
) -> Classifier:  # fmt: skip
    prompts, classes = fixed
    context, names = parts.context, list(classes.names)
    per_class = len(prompts.ids) // classes.count
    if parts.is_transported:
        context = context.repeat_interleave(classes.count, 0)
    elif context.ndim == 3 and classes.count != len(context):
        raise ClassListMismatch(classes.count, len(context))
    position = manifest.class_token_position if family.is_position_stated else "end"
    lengths = name_lengths(encoders, names) * per_class
    layout = lay_out_tokens(encoders, prompts, lengths, position)
    meta_net = None
    if parts.meta_net is not None:
        layers = parts.meta_net.layers
        _check_meta_net(layers, encoders)
        if parts.meta_net.reads == "class":
            encoders = class_aware(encoders, layers, names, manifest)
        else:
            meta_net = _meta_net(layers)
    cache = _cache(parts.cache, classes, manifest, encoders) if parts.cache else None
    matching = Matching(per_class, parts.is_transported, cache)
    return Classifier(encoders, names, layout, context, meta_net, matching)


def _completed(parts: Parts, family: Family, backbone: Backbone) -> Parts:
    """The parts with a context, empty where a family has none, and rows freed of rounding."""
    width = backbone.text.width
    context = torch.zeros(0, width) if parts.context is None else parts.context
    _check_context(context, backbone)
    prefix, suffix = (
        None if rows is None else restored_rows(rows, family.rounding, backbone)
        for rows in (parts.token_prefix, parts.token_suffix)
    )
    return replace(parts, context=context, token_prefix=prefix, token_suffix=suffix)


def _check_context(context: Tensor, backbone: Backbone) -> None:
    width = backbone.text.width
    if context.shape[-1] != width:
        shape = "x".join(map(str, context.shape))
        raise BackboneMismatch(
            f"ctx has shape {shape}, the text tower of backbone {backbone.id!r} has width {width}"
        )
    check_finite("ctx", context)


def _check_meta_net(layers: Mapping[str, Tensor], backbone: Backbone) -> None:
    hidden, features = layers["linear1.weight"].shape
    if features != backbone.embed_dim:
        raise BackboneMismatch(
            f"meta_net.linear1.weight has shape {hidden}x{features}, features of backbone "
            f"{backbone.id!r} have size {backbone.embed_dim}"
        )
    for name, tensor in layers.items():
        check_finite(f"meta_net.{name}", tensor)


def _meta_net(layers: Mapping[str, Tensor]) -> MetaNet:
    hidden, features = layers["linear1.weight"].shape
    net = MetaNet(features, hidden, len(layers["linear2.weight"]))
    net.load_state_dict({name: tensor.float() for name, tensor in layers.items()})
    return net


def _cache(cache: Cache, classes: ClassList, manifest: Manifest, backbone: Backbone) -> CacheModel:
    keys, values = cache.keys.float(), cache.values.float()
    if keys.shape[1] != backbone.embed_dim:
        raise BackboneMismatch(
            f"the cache holds features of size {keys.shape[1]}, those of backbone "
            f"{backbone.id!r} have size {backbone.embed_dim}"
        )
    if values.shape[1] != classes.count:
        raise ClassListMismatch(classes.count, values.shape[1])
    check_finite("the cache", keys, values)
    if manifest.alpha is None or manifest.beta is None:
        raise AssemblyError("the files do not say alpha and beta of the cache; the manifest must")
    device = backbone.device
    return CacheModel(keys.to(device), values.to(device), manifest.alpha, manifest.beta)
