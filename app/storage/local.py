"""A folder as a store: for one machine.

Every file appears by rename after fsync, so a crash leaves either nothing or all of it. Not meant
for a network file system, and not encrypted: whoever reads the folder reads the models.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from app.errors import StoreUnavailable
from app.storage.space import shortage
from app.storage.store import StoreMissing


class FolderStore:
    """Implements ``Store`` under ``root``."""

    min_part_bytes = 1

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        self.root = root
        self._min_free_bytes = min_free_bytes
        (root / "incoming").mkdir(parents=True, exist_ok=True)
        self._device = root.stat().st_dev

    def check(self) -> None:
        try:
            device = (self.root / "incoming").stat().st_dev
        except OSError:
            raise StoreUnavailable("the store folder is gone") from None
        # What lies below a mount that is gone looks like an empty store.
        if device != self._device:
            raise StoreUnavailable("the store folder lies on another file system than before")
        if not os.access(self.root, os.W_OK):
            raise StoreUnavailable("the store folder is not writable")
        if short := shortage(self.root, self._min_free_bytes):
            raise StoreUnavailable(f"the store's file system {short}")

    def put(self, key: str, source: Path) -> None:
        with source.open("rb") as stream:
            self._write(self._path(key), [stream])

    def open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            raise StoreMissing(key) from None

    def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            raise StoreMissing(key) from None

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def begin_parts(self, key: str) -> str:
        ref = uuid4().hex
        self._parts(ref).mkdir(parents=True)
        return ref

    def put_part(self, key: str, ref: str, number: int, source: Path) -> str:
        target = self._parts(ref) / f"{number:05d}"
        try:
            os.replace(source, target)
        except FileNotFoundError:
            raise StoreMissing(key) from None
        return target.name

    def join_parts(self, key: str, ref: str, parts: list[tuple[int, str]]) -> None:
        folder, target = self._parts(ref), self._path(key)
        names = [folder / name for _, name in parts]
        if not all(path.exists() for path in names):
            raise StoreMissing(key)
        if len(names) == 1:
            # A hard link costs nothing and leaves the part in place for a repeated call.
            target.parent.mkdir(parents=True, exist_ok=True)
            link = self.root / "incoming" / f"{uuid4().hex}.link"
            os.link(names[0], link)
            os.replace(link, target)
            # rename(2) leaves the link alone when both names already are one file.
            link.unlink(missing_ok=True)
            return
        streams = [path.open("rb") for path in names]
        try:
            self._write(target, streams)
        finally:
            for stream in streams:
                stream.close()

    def drop_parts(self, key: str, ref: str) -> None:
        shutil.rmtree(self._parts(ref), ignore_errors=True)

    def _parts(self, ref: str) -> Path:
        return self.root / "incoming" / ref

    def _path(self, key: str) -> Path:
        path = self.root / key
        # Keys are ours, yet one joined from a foreign name must never leave the folder.
        if ".." in Path(key).parts or Path(key).is_absolute():
            raise ValueError(f"not a key: {key!r}")
        return path

    def _write(self, target: Path, streams: Sequence[BinaryIO]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self.root / "incoming" / f"{uuid4().hex}.partial"
        try:
            with partial.open("wb") as out:
                for stream in streams:
                    shutil.copyfileobj(stream, out, 1 << 20)
                out.flush()
                os.fsync(out.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
