"""A folder as a store: for one machine.

Every file appears by rename after fsync, so a crash leaves either nothing or all of it, and beside
it perhaps a ``.partial`` that ``objects`` shows. Each put of a part is a file of its own, and the
key of a joined object depends on which ones it was made of, so that no file ever changes. Not meant
for a network file system, and not encrypted: whoever reads the folder reads the models.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote
from uuid import uuid4

from app.errors import StoreUnavailable
from app.storage.space import shortage
from app.storage.store import PartsChanged, Stored, StoreMissing, Unfinished, guarded

_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TRIES = 20


class FolderStore:
    """Implements ``Store`` under ``root``."""

    min_part_bytes = 1

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        self.root = root
        self._min_free_bytes = min_free_bytes
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._device = root.stat().st_dev

    def check(self) -> None:
        """The folder is there, is writable and has ``min_free_bytes`` left."""
        if not self._is_there():
            raise StoreUnavailable("the store folder is gone")
        if not os.access(self.root, os.W_OK):
            raise StoreUnavailable("the store folder is not writable")
        if short := shortage(self.root, self._min_free_bytes):
            raise StoreUnavailable(f"the store's file system {short}")

    def put(self, key: str, source: Path) -> None:
        """Copy beside the place, fsync, rename."""
        try:
            with source.open("rb") as stream, self._translated(key):
                self._write(self._path(key), [stream])
        except StoreMissing:
            # Nobody asked for what lies there, so nobody is to hear that it is gone.
            raise StoreUnavailable("the store folder is changed by somebody else") from None

    def open(self, key: str) -> BinaryIO:
        """The file; a folder that is gone is a fault, a missing file is ``StoreMissing``."""
        with self._translated(key):
            return guarded(self._path(key).open("rb"))

    def size(self, key: str) -> int:
        """Length in bytes, from the file system."""
        with self._translated(key):
            return self._path(key).stat().st_size

    def delete(self, key: str) -> None:
        """Remove the file, then the folders that it leaves empty."""
        path = self._path(key)
        with suppress(StoreMissing), self._translated(key):
            path.unlink()
        self._prune(path.parent)

    def begin_parts(self, key: str) -> str:
        """Make a folder for the parts; its name is the answer."""
        ref = f"{quote(key, safe='')}.{uuid4().hex}"
        with self._translated(key):
            self._parts(ref).mkdir()
        return ref

    def put_part(self, key: str, ref: str, number: int, source: Path) -> str:
        """Move ``source`` into the folder of parts, under a name that no other put has."""
        name = f"{number:05d}-{uuid4().hex}"
        with self._translated(key):
            try:
                os.replace(source, self._parts(ref) / name)
            except FileNotFoundError:
                if not source.exists():
                    # Whoever sent it was given up; that says nothing of the parts that are kept.
                    raise StoreUnavailable("the part was gone before it was kept") from None
                raise
        return name

    def forget_part(self, key: str, ref: str, number: int, part: str) -> None:
        """Remove the part's file; nothing else names it."""
        with self._translated(key):
            (self._parts(ref) / part).unlink(missing_ok=True)

    def join_parts(self, key: str, ref: str, parts: Sequence[tuple[int, str]]) -> str:
        """Link the only part, or copy several, under ``key`` and a hash of the parts' names."""
        made_of = hashlib.sha256("\n".join([ref, *(name for _, name in parts)]).encode())
        joined = f"{key}-{made_of.hexdigest()[:32]}"
        target, folder = self._path(joined), self._parts(ref)
        with self._translated(key), ExitStack() as opened:
            if target.exists():
                return joined
            here = set(os.listdir(folder))
            gone = [number for number, name in parts if name not in here]
            if gone:
                raise PartsChanged(gone)
            if len(parts) == 1:
                self._link(folder / parts[0][1], target)
            else:
                # Opened before anything is written: what is open stays readable when it is dropped.
                streams = [opened.enter_context((folder / name).open("rb")) for _, name in parts]
                self._write(target, streams)
        return joined

    def drop_parts(self, key: str, ref: str) -> None:
        """Remove the folder of parts, whatever is left of it."""
        shutil.rmtree(self._parts(ref), ignore_errors=True)

    def objects(self) -> Iterator[Stored]:
        """Every file below ``tenants/``; those that vanish meanwhile are left out."""
        with self._translated("tenants"):
            self.check()
            for folder, _, names in os.walk(self.root / "tenants"):
                for name in names:
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):
                        about = path.stat()
                        key = path.relative_to(self.root).as_posix()
                        yield Stored(key, about.st_size, _moment(about.st_mtime))

    def unfinished(self) -> Iterator[Unfinished]:
        """Every folder of parts, with the time of its last change as its beginning."""
        with self._translated("incoming"):
            self.check()
            for folder in list(self._incoming.iterdir()):
                with suppress(FileNotFoundError, NotADirectoryError):
                    size = sum(part.stat().st_size for part in folder.iterdir())
                    begun = _moment(folder.stat().st_mtime)
                    key = unquote(folder.name.rpartition(".")[0])
                    yield Unfinished(key, folder.name, begun, size)

    def _is_there(self) -> bool:
        """What lies below a mount that is gone looks like an empty store."""
        try:
            return self._incoming.stat().st_dev == self._device
        except OSError:
            return False

    def _parts(self, ref: str) -> Path:
        return self._incoming / ref

    def _path(self, key: str) -> Path:
        path = self.root / key
        # Keys are ours, yet one joined from a foreign name must never leave the folder.
        if ".." in Path(key).parts or Path(key).is_absolute():
            raise ValueError(f"not a key: {key!r}")
        return path

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # A volume that is not mounted looks like a folder that somebody emptied.
            if not self._is_there():
                raise StoreUnavailable("the store folder is not there") from error
            raise StoreMissing(key) from error
        except OSError as error:
            if error.errno in _FULL:
                raise
            raise StoreUnavailable(f"the store folder fails: {error.strerror}") from error

    def _write(self, target: Path, streams: Sequence[BinaryIO]) -> None:
        # Beside its target, so that whoever knows what becomes of the one knows it of the other.
        partial = target.with_name(f"{target.name[:100]}.{uuid4().hex}.partial")
        out = self._create(partial)
        try:
            with out:
                for stream in streams:
                    shutil.copyfileobj(stream, out, _CHUNK)
                out.flush()
                os.fsync(out.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _create(self, path: Path) -> BinaryIO:
        for left in reversed(range(_TRIES)):
            try:
                self._make_parent(path)
                return path.open("xb")
            except FileNotFoundError:
                # An empty folder may be pruned between the two steps.
                if not left:
                    raise
        raise AssertionError

    def _link(self, source: Path, target: Path) -> None:
        """One more name for a part: it costs nothing and leaves the part for a repeated call."""
        for left in reversed(range(_TRIES)):
            try:
                self._make_parent(target)
                os.link(source, target)
                return
            except FileExistsError:
                return
            except FileNotFoundError:
                if not left or not source.exists():
                    raise

    def _make_parent(self, path: Path) -> None:
        if not self._is_there():
            raise FileNotFoundError(errno.ENOENT, "the store folder is not there")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            # It was there when it was to be made, and pruned before that was looked at.
            raise FileNotFoundError(errno.ENOENT, "the folder was pruned") from error

    def _prune(self, folder: Path) -> None:
        """Remove folders that have become empty, from here upwards."""
        while folder != self.root and folder.is_relative_to(self.root):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
