"""Raw system calls: those that the standard library does not offer, with errors as ``OSError``.

Knows numbers that are the same on every architecture, and those of the two we know by name
(:mod:`~inspector.checkpoint.sandbox.syscalls`). Loads libc when first used; after that no call
loads or imports anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from functools import cache

from inspector.checkpoint.sandbox.syscalls import Machine, machine_named


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def machine() -> Machine:
    """The architecture of this process.

    Raises:
        OSError: not Linux, not x86-64 or AArch64, or a 32-bit process.
    """
    found = machine_named(platform.machine()) if sys.platform == "linux" else None
    if found is None or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, f"no system call numbers for {platform.machine()}")
    return found


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Do the system call ``name``; buffers are passed by address, None is a null pointer.

    Raises:
        OSError: what the kernel answered; ``filename`` is the name of the call.
    """
    number = machine().numbers[name]
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(name, _libc().syscall(ctypes.c_long(number), *passed))


def control(option: int, value: int, *, name: str) -> None:
    """``prctl(option, value)``. Raises ``OSError``, see :func:`call`."""
    _checked(name, _libc().prctl(option, *(ctypes.c_long(v) for v in (value, 0, 0, 0))))


def _checked(name: str, result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return int(result)


def told(error: OSError, otherwise: str = "the kernel") -> str:
    """Which call the kernel refused, and why; never which file, as reports say what was refused."""
    name = str(error.filename or otherwise)
    what = "a file" if "/" in name else name
    return f"{what}: {error.strerror or type(error).__name__}"
