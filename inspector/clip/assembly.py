"""From a vendor's canonical tensors to a classifier: reading + manifest + backbone.

The families here (CoOp, ProGrad, KgCoOp, CoCoOp, BadCLIP) share one forward pass: a context, fixed
tokens around it and, for the last two, a meta-net. What the file can say is read from it, above all
the class names; where the manifest differs, the file wins and a finding says so. Forward passes:
KaiyangZhou/CoOp `trainers/{coop,cocoop}.py`, htyao89/KgCoOp `trainers/kgcoop.py`, BeierZhu/
Prompt-align `trainers/prograd.py`, jiawangbai/BadCLIP `trainers/badclip.py`. Tensors saved in fp16
are raised to fp32, in which everything is computed. Does not judge; see `inspector.clip.level`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier, MetaNet
from inspector.clip.classlist import ClassList, Tokens, compare, decode_names
from inspector.clip.differences import differences
from inspector.clip.prompts import PromptTokens, lay_out_tokens, name_lengths, tokenise
from inspector.clip.suffix import START_OF_TEXT, Ids, find_altered, prompts_of, rows_to_tokens
from inspector.clip.weights import restored_rows
from inspector.clip.whole import LEARNER, class_aware, delivered_encoders
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from inspector.findings import Finding, Severity
from inspector.manifest import Manifest

CONDITIONED = ("CoCoOp", "BadCLIP")
"""Families whose prompt depends on the image."""
_POSITIONED = ("CoOp", "ProGrad")
"""Families whose code reads the position of the class token; the others have it at the end."""


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
    if reading.family is None:
        raise AssemblyError("the file belongs to no family that can be assembled", "unknown-family")
    tensors = load_file(canonical)
    family, findings = differences(reading, manifest, backbone)
    backbone = replace(
        backbone, mean=manifest.mean or backbone.mean, std=manifest.std or backbone.std
    )
    backbone, own = delivered_encoders(tensors, reading, manifest, backbone)
    tensors = _learner(tensors, reading.family, backbone)
    context = tensors["ctx"]
    _check_context(context, backbone)
    position = manifest.class_token_position if family in _POSITIONED else "end"
    prompts, classes = _prompts(tensors, manifest, backbone)
    if context.ndim == 3 and classes.count != len(context):
        raise ClassListMismatch(classes.count, len(context))
    layout = lay_out_tokens(backbone, prompts, name_lengths(backbone, classes.names), position)
    meta_net = _meta_net(tensors, backbone) if family in CONDITIONED else None
    if family == "TCP":
        branch = _meta_net(tensors, backbone, num_context=len(context), activation=_quick_gelu)
        backbone = class_aware(backbone, branch.to(backbone.device), list(classes.names), manifest)
    classifier = Classifier(backbone, list(classes.names), layout, context, meta_net)
    findings = [*findings, *own, *classes.findings, *_prefix_findings(tensors, backbone)]
    return Assembly(classifier.to(backbone.device), classes, family, tuple(findings))


def _learner(tensors: Mapping[str, Tensor], family: str, backbone: Backbone) -> dict[str, Tensor]:
    """The prompt learner's tensors without their prefix; no context where a family has none."""
    learner = {"ctx": torch.zeros(0, backbone.text.width)}
    learner |= {name.removeprefix(LEARNER): tensor for name, tensor in tensors.items()}
    for name in ("token_prefix", "token_suffix"):
        if name in learner:
            learner[name] = restored_rows(learner[name], family, backbone)
    return learner


def _check_context(context: Tensor, backbone: Backbone) -> None:
    width = backbone.text.width
    if context.shape[-1] != width:
        shape = "x".join(map(str, context.shape))
        raise BackboneMismatch(
            f"ctx has shape {shape}, the text tower of backbone {backbone.id!r} has width {width}"
        )
    _check_finite("ctx", context)


def _check_finite(name: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise AssemblyError(f"{name} holds NaN or infinity, so there are no logits")


def _quick_gelu(values: Tensor) -> Tensor:
    return values * torch.sigmoid(1.702 * values)


def _meta_net(
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    num_context: int = 1,
    activation: Callable[[Tensor], Tensor] = torch.relu,
) -> MetaNet:
    first = tensors["meta_net.linear1.weight"]
    hidden, features = first.shape
    if features != backbone.embed_dim:
        raise BackboneMismatch(
            f"meta_net.linear1.weight has shape {hidden}x{features}, image features of backbone "
            f"{backbone.id!r} have size {backbone.embed_dim}"
        )
    net = MetaNet(features, hidden, num_context * backbone.text.width, activation)
    state = {name: tensors[f"meta_net.{name}"].float() for name in net.state_dict()}
    for name, tensor in state.items():
        _check_finite(f"meta_net.{name}", tensor)
    net.load_state_dict(state)
    return net


def _prompts(
    tensors: Mapping[str, Tensor], manifest: Manifest, backbone: Backbone
) -> tuple[PromptTokens, ClassList]:
    """The fixed tokens of all prompts, from the file where it has them, else from the manifest."""
    num_context = tensors["ctx"].shape[-2]
    if "token_suffix" not in tensors:
        return _stated_prompts(manifest, backbone, num_context, None)
    suffix = tensors["token_suffix"]
    length = 1 + num_context + suffix.shape[1]
    if length != backbone.text.context_length:
        raise BackboneMismatch(
            f"ctx and token_suffix make prompts of {length} tokens, backbone {backbone.id!r} takes "
            f"{backbone.text.context_length}"
        )
    ids = _decode(suffix, backbone)
    if (ids < 0).all() and not _has_start(tensors.get("token_prefix"), backbone):
        raise BackboneMismatch(
            f"no row of token_suffix ({'x'.join(map(str, suffix.shape))}) is in the token embedding "
            f"of backbone {backbone.id!r} ({'x'.join(map(str, backbone.text.token_embedding.shape))})"
        )
    altered = find_altered(ids)
    if altered is not None:
        return _stated_prompts(manifest, backbone, num_context, (altered, len(ids)))
    whole = np.zeros((len(ids), length), np.int64)
    whole[:, 0], whole[:, 1 + num_context :] = START_OF_TEXT, ids
    classes = _class_list(ids, manifest, backbone, num_context)
    return PromptTokens(torch.from_numpy(whole), num_context), classes


def _stated_prompts(
    manifest: Manifest, backbone: Backbone, num_context: int, altered: tuple[Finding, int] | None
) -> tuple[PromptTokens, ClassList]:
    """Prompts as the manifest states them, for a file that cannot speak for itself."""
    if manifest.classnames is None:
        reason = altered[0].message if altered else "the file has no token_suffix"
        raise AssemblyError(
            f"the manifest has no classnames and they cannot be decoded: {reason}",
            "class-list-missing",
        )
    names = manifest.classnames
    if altered and altered[1] != len(names):
        raise ClassListMismatch(len(names), altered[1])
    template = manifest.template or default_template(num_context)
    prompts = tokenise(backbone, names, template, num_context)
    match, findings = (False, (altered[0],)) if altered else (None, ())
    return prompts, ClassList(names, "manifest", match, findings)


def default_template(num_context: int) -> str:
    """The prompt without initial words: CoOp's "X" for each context vector, the name, a stop.

    Methods without context vectors say "a photo of a" (CLIP, and the code of VPT and CLIP-LoRA).
    """
    return ("X " * num_context or "a photo of a ") + "{}."


def _class_list(ids: Ids, manifest: Manifest, backbone: Backbone, num_context: int) -> ClassList:
    prompts = prompts_of(ids)
    names = manifest.classnames
    if names is None:
        return ClassList(decode_names(prompts), "decoded", None)
    if len(names) != len(prompts):
        raise ClassListMismatch(len(names), len(prompts))
    template = manifest.template or default_template(num_context)
    extra: tuple[Finding, ...] = ()
    try:
        expected = tokenise(backbone, names, template, num_context)
    except AssemblyError as problem:
        # The file has whole prompts of its own, so a template that does not fit is no obstacle.
        extra = (Finding("template-mismatch", Severity.MEDIUM, problem.detail),)
        expected = tokenise(backbone, names, default_template(num_context), num_context)

    def encode(text: str) -> Tokens:
        return tuple(
            backbone.tokenise([text], 4096)[0, 1 : 1 + backbone.count_tokens(text)].tolist()
        )

    stated = manifest.template is not None and not extra
    wanted = prompts_of(expected.suffix.numpy())
    classes = compare(prompts, names, wanted, encode, template_is_stated=stated)
    return replace(classes, findings=(*classes.findings, *extra))


def _decode(rows: Tensor, backbone: Backbone) -> Ids:
    """Token ids of embedding rows, whose type the table is first rounded to."""
    table = backbone.text.token_embedding.detach().cpu().to(rows.dtype)
    return rows_to_tokens(_raw(rows), _raw(table))


def _raw(tensor: Tensor) -> NDArray[Any]:
    """The bytes of each row; numpy has no bfloat16."""
    return tensor.contiguous().view(torch.uint8).numpy()


def _has_start(prefix: Tensor | None, backbone: Backbone) -> bool:
    return prefix is not None and bool((_decode(prefix, backbone) == START_OF_TEXT).all())


def _prefix_findings(tensors: Mapping[str, Tensor], backbone: Backbone) -> list[Finding]:
    prefix = tensors.get("token_prefix")
    if prefix is None or _has_start(prefix, backbone):
        return []
    message = "token_prefix is not the start token's row of the backbone's token embedding"
    return [Finding("token-prefix-altered", Severity.HIGH, message)]
