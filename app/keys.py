"""Whose bytes lie under which key of the store: written here, read back by the purger.

    tenants/<tenant>/uploads/<upload>/<random>[-<hash of the parts>]
    tenants/<tenant>/inspections/<inspection>/<attempt>/<name>
    tenants/<tenant>/canonical/…        (written by versions before this one)

A key names the row that decides what becomes of the bytes, and the row is there before them.
Knows no store and no table.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

Kind = Literal["uploads", "inspections", "canonical"]


@dataclass(frozen=True, slots=True)
class Owner:
    """The row that a key belongs to; canonical tensors belong to none."""

    kind: Kind
    id: str


def of_upload(tenant: str, upload_id: str) -> str:
    """A new key on every call: what is deleted under an old one was never meant to stay."""
    return f"tenants/{tenant}/uploads/{upload_id}/{secrets.token_hex(6)}"


def of_artifact(tenant: str, inspection_id: str, attempt: int, name: str) -> str:
    """Each attempt has keys of its own, so that a late one overwrites nothing."""
    return f"tenants/{tenant}/inspections/{inspection_id}/{attempt}/{name}"


def owner_of(key: str) -> Owner | None:
    """None where the key is none of ours: then it is not ours to judge."""
    match key.split("/"):
        case ["tenants", _, "canonical", _, *_]:
            return Owner("canonical", "")
        case ["tenants", _, "uploads", identifier, *_] if identifier.startswith("upl_"):
            return Owner("uploads", identifier)
        case ["tenants", _, "inspections", identifier, _, *_] if identifier.startswith("insp_"):
            return Owner("inspections", identifier)
    return None
