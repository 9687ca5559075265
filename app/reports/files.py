"""The bytes of an artifact, from the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from app.errors import NotFound
from app.models import Artifact
from app.storage import Store, StoreMissing

_CHUNK = 1 << 20


def opened(store: Store, item: Artifact) -> BinaryIO:
    """Raises ``NotFound`` where the file is no longer kept."""
    try:
        return store.open(item.storage_key)
    except StoreMissing:
        raise NotFound("this file is no longer kept", code="artifact_gone") from None


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """All of it in pieces; closes it."""
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    finally:
        stream.close()


def kept(store: Store, item: Artifact) -> bytes | None:
    """All of it at once, None where it is gone."""
    try:
        return b"".join(chunks(opened(store, item)))
    except NotFound:
        return None
