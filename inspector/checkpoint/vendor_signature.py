"""A vendor's own signature beside the model: what it covers, and whether these are the bytes.

OpenSSF model signing (https://github.com/sigstore/model-transparency, docs/model_signing_format.md)
leaves a ``model.sig`` in the model's folder: a sigstore bundle with a DSSE envelope around an
in-toto statement that lists every file with its digest. It is a stranger's JSON: parsed, never
acted on. Digests are compared; the signature is not verified, because nobody has told us whose it
ought to be, so that a match alone proves nothing. The findings say so. Knows no key.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from inspector.checkpoint.bundle import Box
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.limits import MIB
from inspector.checkpoint.wording import printable
from inspector.errors import ArtifactError

FILE_NAME = "model.sig"
PREDICATE = "https://model_signing/signature/v1.0"
OLDER_PREDICATE = "https://model_signing/Digests/v0.1"
_STATEMENT = "https://in-toto.io/Statement/v1"
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_LONGEST = 4 * MIB
_MOST_REPORTED, _SHOWN = 3, 5
_DIGESTS: Mapping[str, Callable[[], Any]] = {
    "sha256": hashlib.sha256,
    "blake2b": hashlib.blake2b,
}
"""Of those that the format knows, what Python has; BLAKE3 is left uncompared."""


class _Malformed(ValueError):
    """The file is no signature of this format."""


@dataclass(frozen=True, slots=True)
class _Signed:
    """What a signature says: digests by file, and what it leaves out on purpose."""

    how: str
    digests: Mapping[str, tuple[str, str]]
    """Algorithm and hexadecimal digest."""
    ignored: frozenset[str] = frozenset()
    is_by_shards: bool = False


@dataclass(slots=True)
class _Compared:
    """Files by how they compare, in the order in which the signature lists them."""

    same: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    uncompared: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    covered: set[str] = field(default_factory=set)
    """Files of the delivery that the signature lists, whatever it says of them."""


def report_signatures(box: Box, members: tuple[str, ...], draft: Draft) -> None:
    """Add a finding for every ``model.sig`` of a folder or archive to ``draft``.

    Args:
        members: the files that were taken for the model.
    """
    found = [name for name in box.names if PurePosixPath(name).name == FILE_NAME]
    budget = draft.limits.artifact_bytes
    for name in sorted(found, key=lambda one: (one.count("/"), one))[:_MOST_REPORTED]:
        try:
            signed = _parsed(_content(box, name))
        except (_Malformed, ArtifactError, OSError) as error:
            why = error if isinstance(error, _Malformed) else "cannot be read"
            draft.add("vendor-signature-malformed", f"{printable(name)}: {why}")
            continue
        compared, budget = _compared(box, name, signed, budget)
        _report(name, signed, compared, members, draft)


def _report(
    name: str, signed: _Signed, compared: _Compared, members: tuple[str, ...], draft: Draft
) -> None:
    told = f"{printable(name)} (OpenSSF model signing, {signed.how}) lists "
    told += f"{len(signed.digests)} {'shards' if signed.is_by_shards else 'files'}"
    if signed.is_by_shards:
        draft.add("vendor-signature", f"{told}, whose digests were not compared. {_UNVERIFIED}")
        return
    left_out = [one for one in members if one not in compared.covered]
    words = {
        "as it says": compared.same,
        "with other bytes": compared.differ,
        "missing": compared.missing,
        "not compared": compared.uncompared,
        "here that it does not list": compared.uncovered,
    }
    details = "; ".join(_counted(names, what) for what, names in words.items() if names)
    if left_out:
        details += f"; the model itself is not covered: {_shown(left_out)}"
    is_other = compared.differ or compared.missing or set(left_out) & set(compared.uncovered)
    message = f"{told}: {details or 'none'}. {_UNVERIFIED}"
    if is_other:
        draft.add("vendor-signature-differs", message)
    else:
        draft.add("vendor-signature", message)


_UNVERIFIED = "Whose signature it is was not verified."


def _counted(names: list[str], what: str) -> str:
    return f"{len(names)} {what}" + ("" if what == "as it says" else f" ({_shown(names)})")


def _shown(names: list[str]) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")


def _compared(box: Box, name: str, signed: _Signed, budget: int) -> tuple[_Compared, int]:
    """How the files compare, and how many bytes may still be hashed."""
    result = _Compared()
    if signed.is_by_shards:
        return result, budget
    folder = f"{PurePosixPath(name).parent}/".removeprefix("./")
    here = {one.removeprefix(folder): one for one in box.names if one.startswith(folder)}
    for path, (algorithm, digest) in signed.digests.items():
        if path not in here:
            result.missing.append(path)
            continue
        result.covered.add(here[path])
        if algorithm not in _DIGESTS:
            result.uncompared.append(path)
        else:
            got, budget = _hashed(box, here[path], algorithm, budget)
            kind = result.uncompared if got is None else result.differ
            (result.same if got == digest else kind).append(path)
    result.uncovered = [
        here[path]
        for path in here
        if path not in signed.digests and not _is_ignored(path, signed.ignored)
    ]
    return result, budget


def _hashed(box: Box, name: str, algorithm: str, budget: int) -> tuple[str | None, int]:
    """None where the file cannot be read, or not within ``budget`` bytes."""
    digest = _DIGESTS[algorithm]()
    try:
        for piece in box.pieces(name):
            budget -= len(piece)
            if budget < 0:
                return None, 0
            digest.update(piece)
    except (ArtifactError, OSError):
        return None, budget
    return digest.hexdigest(), budget


def _is_ignored(path: str, ignored: frozenset[str]) -> bool:
    place = PurePosixPath(path)
    return path == FILE_NAME or any(str(one) in ignored for one in (place, *place.parents))


def _content(box: Box, name: str) -> bytes:
    content = b""
    for piece in box.pieces(name):
        content += piece
        if len(content) > _LONGEST:
            raise _Malformed(f"larger than {_LONGEST} bytes")
    return content


def _parsed(content: bytes) -> _Signed:
    bundle = _object(content)
    if not _text(bundle, "mediaType").startswith(_BUNDLE):
        raise _Malformed("no sigstore bundle")
    payload = _text(_inner(bundle, "dsseEnvelope"), "payload")
    try:
        content = base64.b64decode(payload, validate=True)
    except ValueError:
        raise _Malformed("the payload is no base64") from None
    statement = _object(content)
    if statement.get("_type") != _STATEMENT:
        raise _Malformed("no in-toto statement")
    how = _how(_inner(bundle, "verificationMaterial"))
    kind = _text(statement, "predicateType")
    if kind == OLDER_PREDICATE:
        return _Signed(how, _unique(_older(statement)))
    if kind != PREDICATE:
        raise _Malformed(f"a statement of another kind: {printable(kind)}")
    return _of_manifest(how, statement)


def _of_manifest(how: str, statement: Mapping[str, Any]) -> _Signed:
    predicate = _inner(statement, "predicate")
    settings = _inner(predicate, "serialization")
    listed = list(_resources(predicate))
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, (_, digest) in listed)).hexdigest()
    stated = [_text(_inner(one, "digest"), "sha256") for one in _objects(statement, "subject")]
    if stated != [root]:
        raise _Malformed("the digest of its list is another one than it says")
    ignored = settings.get("ignore_paths")
    return _Signed(
        how,
        _unique(iter(listed)),
        frozenset(one for one in ignored if isinstance(one, str))
        if isinstance(ignored, list)
        else frozenset(),
        settings.get("method") != "files",
    )


def _resources(predicate: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for one in _objects(predicate, "resources"):
        yield _text(one, "name"), (_text(one, "algorithm"), _hex(_text(one, "digest")))


def _older(statement: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for one in _objects(statement, "subject"):
        yield _text(one, "name"), ("sha256", _hex(_text(_inner(one, "digest"), "sha256")))


def _how(material: Mapping[str, Any]) -> str:
    if "publicKey" in material:
        return "by a key"
    return "by a certificate" if {"certificate", "x509CertificateChain"} & set(material) else "?"


def _unique(
    pairs: Iterator[tuple[str, tuple[str, str]]],
) -> Mapping[str, tuple[str, str]]:
    result: dict[str, tuple[str, str]] = {}
    for name, digest in pairs:
        if name in result:
            raise _Malformed("it lists a file twice")
        result[name] = digest
    return result


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise _Malformed("no JSON object, or one that names a key twice") from None
    if not isinstance(value, dict):
        raise _Malformed("no JSON object")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Malformed("a key stands twice")
    return result


def _inner(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    if not isinstance(value, dict):
        raise _Malformed(f"{key} is no object")
    return value


def _objects(holder: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = holder.get(key)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _Malformed(f"{key} is no list of objects")
    return value


def _text(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise _Malformed(f"{key} is no text")
    return value


def _hex(text: str) -> str:
    try:
        return bytes.fromhex(text).hex()
    except ValueError:
        raise _Malformed("a digest is not hexadecimal") from None
