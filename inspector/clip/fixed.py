"""The fixed tokens of a file's prompts, and the class list that they spell.

From the file where it keeps them (`token_suffix`), else from the manifest; a file whose rows were
altered cannot speak for itself. Source of the layout: KaiyangZhou/CoOp `trainers/coop.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.checkpoint.families.parts import Parts
from inspector.clip.backbone import Backbone
from inspector.clip.classlist import ClassList, Tokens, compare, decode_names
from inspector.clip.prompts import PromptTokens, tokenise
from inspector.clip.suffix import START_OF_TEXT, Ids, find_altered, prompts_of, rows_to_tokens
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from inspector.findings import Finding, Severity
from inspector.manifest import Manifest

_MOST_PROMPTS = 200_000
"""Prompts that a statement of a few lines may ask for: more than twice CLIP's 80 templates of
ImageNet's 1,000 classes."""


def fixed_prompts(
    parts: Parts, manifest: Manifest, backbone: Backbone
) -> tuple[PromptTokens, ClassList]:
    """The fixed tokens of all prompts (N * K, L), and the K classes.

    Raises:
        BackboneMismatch: the rows are those of another backbone.
        AssemblyError: neither file nor manifest names the classes, or a prompt does not fit.
    """
    prompts, classes = _prompts(parts, manifest, backbone)
    sets = _sets(parts)
    rows = None if parts.token_prefix is None else len(parts.token_prefix) // sets
    if rows not in (None, classes.count):
        raise ClassListMismatch(classes.count, rows)
    return replace(prompts, ids=prompts.ids.repeat(sets, 1)), classes


def _prompts(
    parts: Parts, manifest: Manifest, backbone: Backbone
) -> tuple[PromptTokens, ClassList]:
    """Each prompt once, however many contexts meet it."""
    num_context = parts.context.shape[-2]
    if parts.token_suffix is None:
        return _stated_prompts(manifest, backbone, num_context, None)
    suffix = parts.token_suffix
    length = 1 + num_context + suffix.shape[1]
    if length != backbone.text.context_length:
        raise BackboneMismatch(
            f"ctx and token_suffix make prompts of {length} tokens, backbone {backbone.id!r} takes "
            f"{backbone.text.context_length}"
        )
    ids = _decode(suffix, backbone)
    if (ids < 0).all() and not _has_start(parts.token_prefix, backbone):
        raise BackboneMismatch(
            f"no row of token_suffix ({'x'.join(map(str, suffix.shape))}) is in the token "
            f"embedding of backbone {backbone.id!r} "
            f"({'x'.join(map(str, backbone.text.token_embedding.shape))})"
        )
    sets = ids.reshape(_sets(parts), -1, ids.shape[1])
    ids = sets[0]
    altered = find_altered(ids) or _unequal(sets)
    if altered is not None:
        return _stated_prompts(manifest, backbone, num_context, (altered, len(ids)))
    whole = np.zeros((len(ids), length), np.int64)
    whole[:, 0], whole[:, 1 + num_context :] = START_OF_TEXT, ids
    classes = _class_list(ids, manifest, backbone, num_context)
    return PromptTokens(torch.from_numpy(whole), num_context), classes


def _sets(parts: Parts) -> int:
    """How many times over the rows of the classes stand."""
    return len(parts.context) if parts.is_transported else 1


def _unequal(sets: Ids) -> Finding | None:
    """A finding where the rows of the classes, which stand several times over, are not the same."""
    odd = int((sets != sets[0]).any(2).sum())
    if not odd:
        return None
    rows = sets[..., 0].size
    said = f"{odd} of {rows} rows of token_suffix do not repeat those of the first prompts"
    return Finding("token-suffix-altered", Severity.HIGH, said)


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
    templates = () if num_context else manifest.templates
    templates = templates or (manifest.template or default_template(num_context),)
    if len(templates) * len(names) > _MOST_PROMPTS:
        raise AssemblyError(
            f"{len(templates)} templates of {len(names)} classes are more than {_MOST_PROMPTS} "
            "prompts"
        )
    sets = [tokenise(backbone, names, template, num_context).ids for template in templates]
    prompts = PromptTokens(torch.cat(sets), num_context)
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


def prefix_findings(parts: Parts, backbone: Backbone) -> list[Finding]:
    """A finding where `token_prefix` is not the start token."""
    prefix = parts.token_prefix
    if prefix is None or _has_start(prefix, backbone):
        return []
    odd = int((_decode(prefix, backbone) != START_OF_TEXT).sum())
    message = (
        f"{odd} of {len(prefix)} rows of token_prefix are not the start token's row of the "
        "backbone's token embedding"
    )
    return [Finding("token-prefix-altered", Severity.HIGH, message)]
