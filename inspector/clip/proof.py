"""The assembly that reproduces the vendor's logits, where the stated one does not.

A file cannot say everything: where the class name stands, the template, LoRA's alpha, the ratio of
an adapter, the block of TCP, the factors of a cache. When the manifest gives the vendor's logits,
what it states is tried first and then what else it could be; what fits is used and reported.
Sources: the codes of the families in `inspector.checkpoint.families`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Size

from inspector.checkpoint import Reading, families
from inspector.checkpoint.families.parts import Parts
from inspector.clip.assembly import Assembly, assemble
from inspector.clip.backbone import Backbone
from inspector.clip.cachefit import fitted_cache
from inspector.clip.fixed import default_template
from inspector.clip.level import AssemblyLevel
from inspector.clip.templates import SEVEN, SINGLE
from inspector.clip.vendor import check_vendor, images_of, vendors_logits
from inspector.errors import AssemblyError
from inspector.findings import Finding, Severity
from inspector.manifest import Check, Manifest

_MOST = 400
"""Assemblies that are tried: the largest product so far, TCP's, has 12 blocks of 14 templates."""
_ENOUGH = 10
"""Logits below which a fit could be luck."""

Change = dict[str, Any]


@dataclass(frozen=True)
class _Case:
    """What never changes between the attempts."""

    reading: Reading
    canonical: Path
    manifest: Manifest
    backbone: Backbone
    check: Check

    def with_change(self, change: Change) -> Assembly:
        changed = replace(self.manifest, **change)
        return assemble(self.reading, self.canonical, changed, self.backbone)


def assemble_checked(
    reading: Reading, canonical: Path, manifest: Manifest, backbone: Backbone
) -> tuple[Assembly, AssemblyLevel | None]:
    """The assembly, and its level where the manifest gives something to check against.

    Raises:
        AssemblyError: see :func:`inspector.clip.assembly.assemble`.
        ManifestError: the check cannot be used.
    """
    check = manifest.check
    if check is None:
        return assemble(reading, canonical, manifest, backbone), None
    case = _Case(reading, canonical, manifest, backbone, check)
    try:
        stated = case.with_change({})
    except AssemblyError:
        found = _search(case)
        if found is None:
            raise
        return found
    level = check_vendor(stated.classifier, check)
    if level.name == "unverified" and check.logits is not None:
        return _search(case) or (stated, level)
    return stated, level


def _search(case: _Case) -> tuple[Assembly, AssemblyLevel] | None:
    if case.check.logits is None:
        return None
    family = families.named(case.reading.family or "")
    parts = family.parts(load_file(case.canonical))
    axes = _axes(parts, family.is_position_stated, case)
    tried = sorted(product(*([{}, *axis] for axis in axes)), key=lambda some: sum(map(bool, some)))
    for some in islice(tried, 0 if parts.cache else 1, _MOST):
        change = {key: value for part in some for key, value in part.items()}
        try:
            found = _attempt(case, change, parts)
        except AssemblyError:
            continue
        if found is not None:
            return found
    return None


def _attempt(case: _Case, change: Change, parts: Parts) -> tuple[Assembly, AssemblyLevel] | None:
    if parts.cache:
        change = change | _cache_change(case, change)
    assembly = case.with_change(change)
    level = check_vendor(assembly.classifier, case.check)
    logits = vendors_logits(case.check, _shape(case, assembly))
    if level.name != "proved" or logits.numel() < _ENOUGH:
        return None
    what = ", ".join(f"{name} {_shown(value)}" for name, value in change.items() if value != ())
    said = f"what the manifest states does not reproduce the vendor's logits, this does: {what}"
    finding = Finding("assembly-found", Severity.LOW, said)
    return replace(assembly, findings=(*assembly.findings, finding)), level


def _cache_change(case: _Case, change: Change) -> Change:
    """Alpha and beta that bring the cache nearest to the vendor's logits."""
    assembly = case.with_change(change | {"alpha": 1.0, "beta": 1.0})
    images = images_of(case.check, case.backbone.image_size)
    vendor = vendors_logits(case.check, _shape(case, assembly))
    alpha, beta = fitted_cache(assembly.classifier, images, vendor)
    return {"alpha": alpha, "beta": beta}


def _shape(case: _Case, assembly: Assembly) -> Size:
    images = images_of(case.check, case.backbone.image_size)
    return Size((len(images), assembly.classes.count))


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _axes(parts: Parts, is_position_stated: bool, case: _Case) -> list[list[Change]]:
    """By what the file leaves open, all that it could be."""
    axes: list[list[Change]] = []
    if is_position_stated:
        axes.append([{"class_token_position": where} for where in ("end", "middle", "front")])
    if parts.token_suffix is None:
        axes.append(list(_templates(0 if parts.context is None else parts.context.shape[-2])))
    if parts.image_adapter is not None and parts.image_adapter.is_stated:
        axes.append([{"adapter_ratio": tenths / 10} for tenths in range(1, 10)])
    if parts.low_rank:
        axes.append(list(_alphas(case.reading)))
    if parts.meta_net is not None and parts.meta_net.reads == "class":
        axes.append([{"text_block": block} for block in range(case.backbone.text.depth)])
        axes.append([{"class_branch_template": words} for words in SINGLE])
    return axes


def _templates(num_context: int) -> Iterator[Change]:
    if num_context:
        before = default_template(num_context).partition("{}")[0]
        endings = dict.fromkeys(words.partition("{}")[2] for words in SINGLE)
        yield from ({"template": f"{before}{{}}{ending}"} for ending in endings)
        return
    yield from ({"template": words, "templates": ()} for words in SINGLE)
    yield {"templates": SEVEN}
    yield from ({"templates": (*SEVEN, words)} for words in SINGLE)


def _alphas(reading: Reading) -> Iterator[Change]:
    """Usual values, and the file's own under the rule alpha / r instead of alpha / sqrt(r)."""
    rank, stated = reading.options.get("rank"), reading.metadata.get("alpha")
    if isinstance(rank, int) and rank > 0:
        root = math.sqrt(rank)
        usual = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 0.5, float(rank), 2.0 * rank]
        own = [float(stated)] if isinstance(stated, int | float) else []
        tried = [*(alpha / root for alpha in (*own, *usual)), *usual]
        yield from ({"tried_alpha": alpha} for alpha in dict.fromkeys(tried))
