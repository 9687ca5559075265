"""Data folders on small disks of their own, which a fault can fill.

A process that only sleeps holds a mount namespace (and, for ordinary users, a user namespace) with a tmpfs
at the folder; members are started inside it. So the disk outlives a member that is killed, as a machine's
does. Where namespaces are not allowed the folder is an ordinary one and cannot be filled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

DISK_MIB = 640
"""What the service wants free by default, and as much again for two artifacts of several parts."""


class Room:
    """One data folder. ``enter`` is put before a command, ``inside`` is the folder as seen from here."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.enter: list[str] = []
        self.inside = folder
        self._holder: subprocess.Popen[bytes] | None = None
        flags = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        mount = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "$0" && exec sleep infinity'
        holder = subprocess.Popen(
            ["unshare", *flags, "--mount", "sh", "-c", mount, str(folder)],
            stderr=subprocess.DEVNULL,
        )
        root = Path(f"/proc/{holder.pid}/root{folder}")
        if not _is_mounted(holder, root):
            holder.kill()
            holder.wait()
            return
        self._holder = holder
        self.inside = root
        users = ["--user", "--preserve-credentials"] if flags else []
        self.enter = ["nsenter", "--target", str(holder.pid), *users, "--mount", "--"]

    @property
    def can_be_filled(self) -> bool:
        return self._holder is not None

    @property
    def pid(self) -> int | None:
        return self._holder.pid if self._holder is not None else None

    def fill(self) -> None:
        """Until nothing more fits."""
        block = bytes(1 << 16)
        with contextlib.suppress(OSError), (self.inside / "ballast").open("ab", 0) as ballast:
            while True:
                ballast.write(block)

    def empty(self) -> None:
        (self.inside / "ballast").unlink(missing_ok=True)

    def files_below(self, name: str) -> list[str]:
        """What lies in a folder of it, folders that are empty left out."""
        top = self.inside / name
        return [
            str(Path(folder, file).relative_to(top))
            for folder, _, files in os.walk(top)
            for file in files
        ]

    def folders_in(self, name: str) -> list[str]:
        top = self.inside / name
        return sorted(path.name for path in top.iterdir()) if top.is_dir() else []

    def close(self) -> None:
        if self._holder is not None:
            self._holder.send_signal(signal.SIGKILL)
            self._holder.wait()


def _is_mounted(holder: subprocess.Popen[bytes], root: Path) -> bool:
    ends_at = time.monotonic() + 5
    while holder.poll() is None and time.monotonic() < ends_at:
        with contextlib.suppress(OSError):
            if root.stat().st_dev != root.parent.stat().st_dev:
                return True
        time.sleep(0.02)
    return False
