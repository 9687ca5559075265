"""The folder of signing keys: private ones, each in a file of its own, and the public list.

It lies apart from the data (``CLIPVET_SIGNING_KEYS``), because whoever copies or backs up the data
must not get the key with it. Several API processes may share it, also read-only: the list appears
by one atomic link, so that of two first runs one makes the key and the other one reads it. Files
are read at every use, so that a rotation counts at once, everywhere. Knows no statement and no row.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.attestation.published import KeyList, PublicKey
from app.attestation.strictjson import NotStrict

LIST_NAME = "keys.json"
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_FORBIDDEN = stat.S_IRWXO | stat.S_IWGRP
"""A group may read, as secrets are mounted for one; nobody else may, nor may the group write."""


class KeyringError(Exception):
    """The keys cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs now; a clock that lags behind must not date a signature before it."""

    keyid: str
    not_before: datetime
    private: Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        """Ed25519 (RFC 8032): 64 bytes, the same for the same data."""
        return self.private.sign(data)


class Keyring:
    """The keys below ``folder``, which the first use makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def published(self, now: datetime) -> KeyList:
        """The public list; the very first call makes the first key.

        Raises:
            KeyringError: there is no list and none can be made, or it is no list.
        """
        found = self._read()
        return self._first(now) if found is None else found

    def active(self, now: datetime) -> SigningKey:
        """The newest key that has neither ended nor been revoked.

        Raises:
            KeyringError: there is none, or its file is missing or open to others.
        """
        newest = self._newest(now)
        try:
            private = self._private(newest)
        except FileNotFoundError:
            # Rotated out between the two reads, perhaps.
            newest = self._newest(now)
            try:
                private = self._private(newest)
            except FileNotFoundError:
                raise KeyringError(f"the key file {newest.keyid}.pem is missing") from None
        return SigningKey(newest.keyid, newest.not_before, private)

    def rotate(self, now: datetime, not_after: datetime | None = None) -> PublicKey:
        """Make a new key, which signs from now on; older ones end now and go on counting.

        Args:
            not_after: when the new key ends by itself; None: when it is rotated out.

        Raises:
            KeyringError: the folder cannot be written.
        """
        with self._changing():
            old = self._read() or KeyList()
            ended = [_ended(key, now) for key in old.keys]
            new = replace(self._made(now), not_after=not_after)
            self._replace(KeyList((*ended, new)))
        for key in ended:
            self._path(key.keyid).unlink(missing_ok=True)
        return new

    def revoke(self, keyid: str, reason: str, now: datetime) -> PublicKey:
        """Take a key's word back: nothing that it ever signed counts any more.

        Raises:
            KeyringError: there is no such key, or the folder cannot be written.
        """
        with self._changing():
            keys = (self._read() or KeyList()).keys
            found = [key for key in keys if key.keyid.startswith(keyid)]
            if len(found) != 1 or not keyid:
                raise KeyringError(
                    f"{len(found)} keys begin with {keyid!r}; see: clipvet keys list"
                )
            revoked = replace(
                _ended(found[0], now),
                revoked_at=found[0].revoked_at or now,
                revocation_reason=reason,
            )
            self._replace(KeyList(tuple(revoked if k is found[0] else k for k in keys)))
        self._path(revoked.keyid).unlink(missing_ok=True)
        return revoked

    def _newest(self, now: datetime) -> PublicKey:
        counting = [k for k in self.published(now).keys if k.status_at(now) == "active"]
        if not counting:
            raise KeyringError("no signing key is valid now; run: clipvet keys rotate")
        return max(counting, key=lambda key: key.not_before)

    def _first(self, now: datetime) -> KeyList:
        with self._writing():
            key = self._made(now)
            fresh = self._written(LIST_NAME, KeyList((key,)).to_bytes())
            try:
                os.link(fresh, self.folder / LIST_NAME)
            except FileExistsError:
                # Another process was first; its key is the one.
                self._path(key.keyid).unlink(missing_ok=True)
            finally:
                fresh.unlink()
        found = self._read()
        assert found is not None
        return found

    def _made(self, now: datetime) -> PublicKey:
        """A new key whose private half lies in its file."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        public = PublicKey(raw, not_before=now)
        path = self._path(public.keyid)
        os.replace(self._written(path.name, pem), path)
        return public

    def _private(self, public: PublicKey) -> Ed25519PrivateKey:
        path = self._path(public.keyid)
        try:
            with path.open("rb") as stream:
                mode = os.fstat(stream.fileno()).st_mode
                pem = stream.read(1 << 16)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise KeyringError(
                f"the key file {path.name} cannot be read: {error.strerror}"
            ) from None
        if mode & _FORBIDDEN:
            raise KeyringError(f"the key file {path.name} is open to others; chmod 600 it")
        try:
            private = load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            raise KeyringError(f"the key file {path.name} holds no key") from None
        is_ours = isinstance(private, Ed25519PrivateKey) and (
            private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == public.raw
        )
        if not is_ours:
            raise KeyringError(f"the key file {path.name} holds another key")
        assert isinstance(private, Ed25519PrivateKey)
        return private

    def _read(self) -> KeyList | None:
        try:
            return KeyList.parse((self.folder / LIST_NAME).read_bytes())
        except FileNotFoundError:
            return None
        except NotStrict as error:
            raise KeyringError(f"{LIST_NAME} in the folder of signing keys: {error}") from None
        except OSError as error:
            raise KeyringError(f"{LIST_NAME} cannot be read: {error.strerror}") from None

    def _replace(self, keys: KeyList) -> None:
        os.replace(self._written(LIST_NAME, keys.to_bytes()), self.folder / LIST_NAME)

    def _written(self, name: str, data: bytes) -> Path:
        """A new file beside the place of ``name``, whole and on the disk."""
        path = self.folder / f".{name}.{uuid4().hex}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        return path

    def _path(self, keyid: str) -> Path:
        return self.folder / f"{keyid}.pem"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One command at a time."""
        with self._writing(), (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            with suppress(PermissionError):
                # A folder that was made by hand, or by an unpacked backup.
                if stat.S_IMODE(self.folder.stat().st_mode) & _FORBIDDEN:
                    self.folder.chmod(_FOLDER_MODE)
            yield
        except OSError as error:
            raise KeyringError(
                f"the folder of signing keys {self.folder} cannot be written: {error.strerror}"
            ) from None


def _ended(key: PublicKey, now: datetime) -> PublicKey:
    is_over = key.not_after is not None and key.not_after <= now
    return key if is_over else replace(key, not_after=now)
