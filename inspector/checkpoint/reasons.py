"""The table of everything that the reader can report, each with one severity.

One row per finding id. ``critical`` means that the file tries to run code; ``high`` that honest
software does not write such a file; ``medium`` that we cannot use it, without suspicion; ``low``
and ``info`` do not stop the reading. Rows marked ``stops`` leave the reading without canonical
tensors. Deliberately knows nothing about how a reason is detected.
"""

from __future__ import annotations

from dataclasses import dataclass

from inspector.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Reason:
    """One row: its severity, whether the reading ends there, and what it means."""

    severity: Severity
    stops: bool
    meaning: str


_INFO, _LOW, _MEDIUM = Severity.INFO, Severity.LOW, Severity.MEDIUM
_HIGH, _CRITICAL = Severity.HIGH, Severity.CRITICAL

REASONS: dict[str, Reason] = {
    # The pickle.
    "pickle-code-execution": Reason(_CRITICAL, True, "loading the file would run code"),
    "pickle-unknown-global": Reason(
        _HIGH, False, "the pickle holds code that we do not know; nobody loaded it"
    ),
    "pickle-uncommon-global": Reason(
        _LOW, False, "the pickle holds a harmless object that is unusual in a checkpoint"
    ),
    "pickle-malformed": Reason(_HIGH, True, "the pickle breaks the rules of its protocol"),
    "pickle-trailing-bytes": Reason(_HIGH, True, "bytes follow the end of the pickle"),
    # The container.
    "empty-file": Reason(_MEDIUM, True, "the file has no bytes"),
    "not-a-checkpoint": Reason(_MEDIUM, True, "the bytes are no format that holds a checkpoint"),
    "unsupported-format": Reason(_MEDIUM, True, "a known format that we do not read"),
    "structure-out-of-range": Reason(_HIGH, True, "an offset points outside of the file"),
    "polyglot": Reason(_HIGH, True, "the file is valid in two formats at once"),
    "zip-truncated": Reason(_HIGH, True, "the zip has no complete central directory"),
    "zip-malformed": Reason(_HIGH, True, "the zip breaks a structural rule"),
    "zip-bad-crc": Reason(_HIGH, True, "a record does not match its checksum"),
    "zip-no-checksums": Reason(_LOW, False, "checksums were switched off when the file was saved"),
    "zip-duplicate-member": Reason(_HIGH, True, "two members have one name"),
    "zip-unsafe-name": Reason(_HIGH, True, "a member name leaves its folder"),
    "zip-encrypted": Reason(_HIGH, True, "a member carries an encryption flag"),
    "zip-header-mismatch": Reason(_HIGH, True, "central directory and local header disagree"),
    "torch-malformed": Reason(_HIGH, True, "the records of a torch file do not fit together"),
    "legacy-malformed": Reason(_HIGH, True, "a legacy torch file does not fit together"),
    "safetensors-malformed": Reason(_HIGH, True, "the safetensors header breaks a rule"),
    "archive-malformed": Reason(_HIGH, True, "the outer archive cannot be read"),
    "archive-no-checkpoint": Reason(_MEDIUM, True, "no checkpoint inside the folder or archive"),
    "archive-ambiguous": Reason(_MEDIUM, True, "several checkpoints and no rule that chooses"),
    "archive-nested": Reason(_HIGH, True, "an archive inside an archive"),
    # The tensors.
    "no-state-dict": Reason(_MEDIUM, True, "no dictionary of tensors where one is expected"),
    "state-dict-extra": Reason(_LOW, False, "the state_dict holds entries that are no tensors"),
    "duplicate-key": Reason(_HIGH, True, "one key stands twice in the state_dict"),
    "prefix-stripped": Reason(_INFO, False, "a prefix that all keys share was taken off"),
    "identical-copy": Reason(_INFO, False, "the same tensors lie in a second place"),
    "other-model": Reason(_MEDIUM, False, "a second model that a loader could take instead"),
    "loader-differs": Reason(_MEDIUM, False, "a loader would take other tensors than were read"),
    "model-chosen": Reason(_LOW, False, "the user chose one of several models"),
    "unsupported-tensor": Reason(_MEDIUM, True, "a tensor of a kind that we do not read"),
    "tensor-malformed": Reason(_HIGH, True, "a tensor's description is invalid"),
    "storage-out-of-range": Reason(_HIGH, True, "a tensor reaches beyond its storage"),
    "non-finite-tensor": Reason(_HIGH, False, "a tensor holds NaN or infinity"),
    # The family.
    "unknown-family": Reason(_MEDIUM, True, "the keys belong to no supported family"),
    "unknown-key": Reason(_HIGH, False, "a tensor that the family's own code would ignore"),
    "unusual-dtype": Reason(_LOW, False, "a type that the original codes never save"),
    "ambiguous-family": Reason(_MEDIUM, True, "the shapes fit more than one family"),
    "shape-mismatch": Reason(_MEDIUM, True, "a shape does not fit the family of the keys"),
    # What the vendor says of the files.
    "vendor-signature": Reason(_INFO, False, "a vendor's signature lies beside the model"),
    "vendor-signature-differs": Reason(
        _MEDIUM, False, "a vendor's signature is about other files than these"
    ),
    "vendor-signature-malformed": Reason(_LOW, False, "a vendor's signature that cannot be read"),
    # The reader itself.
    "limit-exceeded": Reason(_HIGH, True, "a limit of the reader was reached"),
    "reader-timeout": Reason(_HIGH, True, "reading took longer than allowed"),
    "reader-error": Reason(_HIGH, True, "the reader failed on these bytes"),
}


_LONGEST = 4000
"""Characters of a message or a remedy. Names in a file may be as long as the file."""


def report(identifier: str, message: str, remedy: str = "") -> Finding:
    """The finding of row ``identifier``; an unknown id is a bug (``KeyError``).

    Args:
        remedy: what to do next, where this is known better than the table of remedies does.
    """
    return Finding(identifier, REASONS[identifier].severity, _cut(message), _cut(remedy))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
