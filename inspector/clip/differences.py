"""Where manifest, file and backbone contradict each other without preventing a classifier.

One finding for each difference; class names and templates are compared in `classlist`. The file
wins over the manifest, the manifest over the backbone's defaults.
"""

from __future__ import annotations

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone
from inspector.errors import BackboneMismatch
from inspector.findings import Finding, Severity
from inspector.manifest import AUTO, Manifest

_SCALE_TOLERANCE = 1e-3
"""Relative: fp16 rounding of ln 100 moves the factor by 3e-4, another temperature by far more."""


def differences(
    reading: Reading, manifest: Manifest, backbone: Backbone
) -> tuple[str, list[Finding]]:
    """The family to assemble, and all findings.

    Raises:
        BackboneMismatch: the manifest's image size is not the backbone's.
    """
    family, findings = _family(reading, manifest)
    if manifest.image_size not in (None, backbone.image_size):
        raise BackboneMismatch(
            f"the manifest says images of {manifest.image_size} px, backbone {backbone.id!r} takes "
            f"{backbone.image_size} px"
        )
    findings += _options(reading, manifest)
    findings += _preprocessing(manifest, backbone)
    if manifest.duplicates:
        names = ", ".join(map(repr, manifest.duplicates[:5]))
        message = f"these names stand for several classes, which no prompt can tell apart: {names}"
        findings.append(Finding("duplicate-class-names", Severity.LOW, message))
    return family, findings


def _family(reading: Reading, manifest: Manifest) -> tuple[str, list[Finding]]:
    own = reading.family or ""
    if manifest.method == AUTO:
        return own, []
    if manifest.method in (own, *reading.family_aliases):
        return manifest.method, []
    may_be = " or ".join((own, *reading.family_aliases))
    message = f"the manifest says {manifest.method}, the tensors are those of {may_be}"
    return own, [Finding("method-mismatch", Severity.MEDIUM, message)]


def _options(reading: Reading, manifest: Manifest) -> list[Finding]:
    stated = {
        "n_ctx": manifest.num_context,
        "class_specific": manifest.is_class_specific,
    }
    return [
        Finding(
            "option-mismatch",
            Severity.MEDIUM,
            f"the manifest says {name} = {value}, the file {reading.options[name]}",
        )
        for name, value in stated.items()
        if value is not None and name in reading.options and value != reading.options[name]
    ]


def _preprocessing(manifest: Manifest, backbone: Backbone) -> list[Finding]:
    findings = []
    for name, stated, own in (
        ("mean", manifest.mean, backbone.mean),
        ("std", manifest.std, backbone.std),
    ):
        if stated is not None and any(abs(a - b) > 1e-6 for a, b in zip(stated, own, strict=True)):
            message = f"the manifest's {name} {stated} is used instead of the backbone's {own}"
            findings.append(Finding("preprocessing-differs", Severity.INFO, message))
    scale, own_scale = manifest.logit_scale, backbone.logit_scale
    if scale is not None and abs(scale / own_scale - 1) > _SCALE_TOLERANCE:
        message = f"the manifest's logit scale is {scale:g}, the backbone's {own_scale:g} is used"
        findings.append(Finding("logit-scale-mismatch", Severity.MEDIUM, message))
    return findings
