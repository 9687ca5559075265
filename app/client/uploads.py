"""Sending a file in parts: nothing that the service has is sent again.

What it has is asked by hash first. An upload is begun under an idempotency key made of the file's
name, size and hash, so that a process which was killed finds its upload again, and sends only the
parts that are missing. What the store has lost is sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from .errors import ApiError
from .files import sha256_of, slice_of
from .transport import Json, Transport

Progress = Callable[[int], None]

_SEND_AGAIN = ("parts_missing", "parts_lost", "upload_changed")
"""What a store that lost parts is answered with."""
_SOMEBODY_ELSE = ("upload_complete", "upload_completing")
"""Another process sends the same file, and was faster."""
_SENDINGS = 4
_COMPLETE_S = 1800.0
"""A slow store joins and reads back some gigabytes meanwhile."""


def find(http: Transport, sha256: str, name: str | None = None) -> Json | None:
    """A complete upload of these bytes, if possible one of this name; None where there is none."""
    # Not patiently: this is the first that is asked, and whoever typed a wrong address is told.
    page = http.json("GET", "/v1/uploads", params={"sha256": sha256})
    items: list[Json] = page.get("items") or []
    return next((one for one in items if one["filename"] == name), items[0] if items else None)


def send(http: Transport, path: Path, progress: Progress, *, ask_first: bool) -> Json:
    """The completed upload of a file; ``progress`` gets how many bytes are there."""
    declared = {"filename": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}
    if ask_first and (known := find(http, str(declared["sha256"]), path.name)) is not None:
        progress(known["size"])
        return known
    begun = _begin(http, declared, f"upload-{_fingerprint(declared)}")
    if begun is None or begun["status"] == "purged":
        begun = _begin(http, declared, uuid4().hex)
    assert begun is not None
    try:
        return _finish(http, path, begun, progress)
    except ApiError as error:
        if error.code != "upload_expired":
            raise
    begun = http.patiently(lambda: _post(http, declared, uuid4().hex))
    return _finish(http, path, begun, progress)


def _fingerprint(declared: Json) -> str:
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


def _begin(http: Transport, declared: Json, key: str) -> Json | None:
    """The upload as it stands; None where the key leads to one that is gone."""
    made = _post(http, declared, key)
    try:
        # The answer to a repeated key is the first one, and tells of no part since.
        return http.patiently(lambda: http.json("GET", f"/v1/uploads/{made['id']}"))
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def _post(http: Transport, declared: Json, key: str) -> Json:
    return http.json("POST", "/v1/uploads", json=declared, headers={"Idempotency-Key": key})


def _finish(http: Transport, path: Path, upload: Json, progress: Progress) -> Json:
    here = f"/v1/uploads/{upload['id']}"
    for left in reversed(range(_SENDINGS)):
        if upload["status"] == "stored":
            progress(upload["size"])
            return upload
        try:
            _send_missing(http, path, upload["parts"], progress)
            return http.patiently(
                lambda: http.json("POST", f"{here}/complete", timeout=_COMPLETE_S)
            )
        except ApiError as error:
            if error.code not in _SEND_AGAIN or not left:
                raise
        upload = http.patiently(lambda: http.json("GET", here))
    raise AssertionError


def _send_missing(http: Transport, path: Path, parts: list[Json], progress: Progress) -> None:
    for part in parts:
        if not part["received"]:
            try:
                _send_part(http, path, part)
            except ApiError as error:
                if error.code not in _SOMEBODY_ELSE:
                    raise
                return
        progress(part["end_offset"])


def _send_part(http: Transport, path: Path, part: Json) -> None:
    start, end = part["start_offset"], part["end_offset"]
    headers = {"Content-Length": str(end - start), "Content-Type": "application/octet-stream"}
    where = http.path_of(part["upload_url"])
    http.patiently(
        lambda: http.request("PUT", where, content=slice_of(path, start, end), headers=headers)
    )
