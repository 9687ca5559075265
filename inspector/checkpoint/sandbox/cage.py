"""Putting the layers on, in the one order that works.

Namespaces come first, because making them needs what the later layers take away; the system call
filter comes last of those that the kernel keeps, because it forbids making any of the others. A
layer that the machine refuses is left out and named. To be called when everything is imported and
before the first hostile byte.
"""

from __future__ import annotations

import codecs
import hashlib
import sys
import zlib

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.sandbox import capabilities, landlock, namespaces, rlimits, seccomp
from inspector.checkpoint.sandbox.audit import refuse_by_audit
from inspector.checkpoint.sandbox.reach import Reach

_CODECS = ("ascii", "cp437", "latin-1", "raw-unicode-escape", "unicode-escape", "utf-8")


def enter(limits: Limits, reach: Reach, parent: int) -> tuple[str, ...]:
    """Lock this process in and name the layers that took hold, and those that were refused.

    The process that comes back may be a descendant of the one that called; the caller's end is
    then that of the descendant.

    Args:
        parent: the process id of the parent; the child leaves when it is already gone.
    """
    warm_up()
    # The parent started us in a session of our own and with an empty environment.
    layers = ["new-session", "scrubbed-environment", *rlimits.limit_resources(limits)]
    is_linux = sys.platform == "linux"
    if is_linux:
        rlimits.die_with_parent(parent)
        isolated, is_inside = namespaces.isolate(reach, limits.cpu_s)
        layers += isolated
        parent = 0 if is_inside else parent
        layers += capabilities.drop()
    layers += rlimits.forbid_processes() + rlimits.give_up_privileges()
    layers += rlimits.die_with_parent(parent)
    if is_linux:
        layers += landlock.restrict(reach)
        layers += seccomp.filter_calls()
    return (*layers, *refuse_by_audit())


def warm_up() -> None:
    """Do once what loads something when it is done for the first time."""
    for name in _CODECS:
        codecs.lookup(name)
    hashlib.sha256(b"").hexdigest()
    zlib.decompress(zlib.compress(b""))
