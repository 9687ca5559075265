"""Zero-shot prompts that are the artifact themselves: a JSON of templates and class names.

They count as what the file says; a manifest beside it is compared and may add what it leaves open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from inspector.errors import AssemblyError, ManifestError
from inspector.findings import Finding, Severity
from inspector.manifest import Manifest, spoken


@dataclass(frozen=True, slots=True)
class Stated:
    """A manifest, whether its class names are the file's own, and where the two differ.

    ``match``: None where only one of them names classes.
    """

    manifest: Manifest
    is_own: bool = False
    match: bool | None = None
    findings: tuple[Finding, ...] = ()


def with_statement(statement: bytes | None, manifest: Manifest) -> Stated:
    """The manifest with what the file states in its place.

    Raises:
        AssemblyError: the statement is not what a manifest may be.
    """
    if statement is None:
        return Stated(manifest)
    try:
        own = Manifest.parse({**json.loads(statement), "check": None})
    except ManifestError as problem:
        raise AssemblyError(f"the file's {problem}", "statement-malformed") from problem
    except (ValueError, TypeError, RecursionError) as problem:
        raise AssemblyError("the file is no JSON object", "statement-malformed") from problem
    names = own.classnames or manifest.classnames
    merged = replace(
        manifest,
        classnames=names,
        template=own.template or manifest.template,
        templates=own.templates or (() if own.template else manifest.templates),
    )
    match = None
    if own.classnames and manifest.classnames:
        match = _plain(own.classnames) == _plain(manifest.classnames)
    findings = tuple(_differences(own, manifest, match))
    return Stated(merged, bool(own.classnames), match, findings)


def _differences(own: Manifest, manifest: Manifest, match: bool | None) -> list[Finding]:
    findings = []
    if match is False:
        said = "the manifest lists other classes than the file, whose own are inspected"
        findings.append(Finding("class-list-mismatch", Severity.HIGH, said))
    words = (own.template, own.templates) != (manifest.template, manifest.templates)
    if words and (own.template or own.templates) and (manifest.template or manifest.templates):
        said = "the manifest states other templates than the file, whose own are inspected"
        findings.append(Finding("template-mismatch", Severity.MEDIUM, said))
    return findings


def _plain(names: tuple[str, ...]) -> list[str]:
    return [spoken(name).lower() for name in names]
