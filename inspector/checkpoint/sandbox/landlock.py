"""Landlock: files outside the reach cannot be opened, TCP and signals to others are refused.

By the kernel's version of the interface: files from 1 on, truncation from 3, TCP from 4, devices
from 5, signals and abstract sockets of other processes from 6. Tracing a process outside is refused
by all. Not covered: other protocols than TCP, sockets in the file system, and looking at, or
changing mode and times of, a file that is not opened. Source: the kernel's
``userspace-api/landlock``.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from inspector.checkpoint.levels import FILE_RULES, refused
from inspector.checkpoint.sandbox import kernel
from inspector.checkpoint.sandbox.reach import Reach

_ASK_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that exist from that version on."""
_NETWORK_FROM, _SCOPES_FROM = 4, 6
_TCP = 0b11
_SCOPES = 0b11


def restrict(reach: Reach) -> list[str]:
    """Confine this process for ever; gives the layers, or how they were refused.

    Needs no-new-privileges, unless the process has CAP_SYS_ADMIN.
    """
    try:
        version = kernel.call("landlock_create_ruleset", None, 0, _ASK_VERSION)
        _confine(reach, version)
    except OSError as error:
        return [refused(FILE_RULES, kernel.told(error))]
    taken = [FILE_RULES]
    taken += ["landlock-network"] if version >= _NETWORK_FROM else []
    taken += ["landlock-scopes"] if version >= _SCOPES_FROM else []
    return taken


def _confine(reach: Reach, version: int) -> None:
    handled = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]
    network = _TCP if version >= _NETWORK_FROM else 0
    scopes = _SCOPES if version >= _SCOPES_FROM else 0
    # An older kernel takes a shorter structure; zeros beyond what it knows are fine.
    attributes = struct.pack("=QQQ", handled, network, scopes)
    rules = kernel.call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for path in reach.readable:
            _allow(rules, path, (_READ_FILE | _READ_DIR) & handled)
        results = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
        _allow(rules, reach.writable, results & handled)
        kernel.call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= ~_READ_DIR
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.call("landlock_add_rule", rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
