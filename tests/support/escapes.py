"""Attempts to break out of the reader's sandbox, by native code, from inside a real process.

Run as a script: ``python -I escapes.py LAYERS ATTEMPT JSON``. It puts on the named layers, makes the
one attempt, and prints ESCAPED or REFUSED, unless the kernel kills it. Everything goes by way of libc, so that the
audit hook on Python code neither helps nor hides what the kernel would have allowed.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector.checkpoint.levels import CALL_FILTER, FILE_RULES, PRIVATE_ROOT
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.sandbox import cage, capabilities, landlock, namespaces, rlimits, seccomp
from inspector.checkpoint.sandbox.kernel import machine
from inspector.checkpoint.sandbox.reach import Reach
from inspector.checkpoint.sandbox.syscalls import X86_64

libc = ctypes.CDLL(None)
# Looked up now: the audit hook forbids looking up, not calling.
for _name in (
    "syscall", "truncate", "unlink", "chmod", "fork", "execve", "kill", "ptrace", "mount",
    "umount2", "unshare", "name_to_handle_at", "prctl",
):  # fmt: skip
    getattr(libc, _name)
_page: mmap.mmap | None = None
NUMBERS = machine().numbers
PTRACE_SEIZE = 0x4206
PR_SET_DUMPABLE = 4
SESSION_KEYRING = -3


@dataclass(frozen=True)
class Target:
    """What there is to attack; made by the test."""

    input: str
    out: str
    secret: str
    outside: str
    listener: str
    abstract: str
    tcp_port: int
    victim: int
    parent: int
    uid: int | None = None


def system_call(name: str, *arguments: object) -> int:
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(libc.syscall(ctypes.c_long(NUMBERS[name]), *passed))


def reads(path: str) -> bool:
    try:
        return bool(Path(path).read_bytes())
    except OSError:
        return False


def writes(path: str, flags: int) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
    except OSError:
        return False
    return os.write(descriptor, b"changed") > 0


def connects(family: int, address: bytes) -> bool:
    descriptor = system_call("socket", family, socket.SOCK_STREAM, 0)
    return descriptor >= 0 and system_call("connect", descriptor, address, len(address)) == 0


def sends_a_datagram(port: int) -> bool:
    descriptor = system_call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)
    address = inet(port)
    return (
        descriptor >= 0
        and system_call("sendto", descriptor, b"secret", 6, 0, address, len(address)) == 6
    )


def inet(port: int) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), b"\x7f\0\0\1")


def forks() -> bool:
    pid = int(libc.fork())
    if pid == 0:
        os._exit(0)
    return pid > 0


def executes() -> bool:
    arguments = (ctypes.c_char_p * 3)(b"echo", b"ESCAPED", None)
    libc.execve(b"/bin/echo", arguments, (ctypes.c_char_p * 1)(None))
    return False


def reads_memory(pid: int) -> Callable[[], bool]:
    """Reading eight bytes of another process; their address is known beforehand."""
    buffer = ctypes.create_string_buffer(8)
    address = int(Path(f"/proc/{pid}/maps").read_text().split("-")[0], 16)
    local = struct.pack("@PN", ctypes.addressof(buffer), len(buffer))
    remote = struct.pack("@PN", address, len(buffer))
    return lambda: system_call("process_vm_readv", pid, local, 1, remote, 1, 0) == len(buffer)


def maps_executable() -> bool:
    anonymous_private = 0x22
    return system_call("mmap", 0, 4096, 7, anonymous_private, -1, 0) != -1


def calls_as_i386() -> Callable[[], bool]:
    """A system call by the old 32-bit convention, whose numbers mean other calls."""
    if machine() is not X86_64:
        return lambda: False
    global _page  # The code must outlive this function.
    _page = page = mmap.mmap(
        -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    )
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, getpid; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    code = ctypes.CFUNCTYPE(ctypes.c_int)(address)
    return lambda: code() == os.getpid()


def mounts(place: bytes) -> bool:
    is_done = libc.mount(b"x", place, b"tmpfs", 0, None) == 0
    return is_done and int(libc.umount2(place, 0)) == 0


def opens_by_handle(mount: int, handle: bytes) -> bool:
    return system_call("open_by_handle_at", mount, handle, os.O_RDONLY) >= 0


def attempts(target: Target) -> dict[str, Callable[[], bool]]:
    """Every attempt by its name. What must be known before the sandbox is looked up here."""
    unix = struct.pack("=H", socket.AF_UNIX)
    passwd_handle, mount = handle_of("/etc/passwd"), os.open(target.input, os.O_RDONLY)
    return {
        "work": lambda: work_is_possible(target),
        "read-passwd": lambda: reads("/etc/passwd"),
        "read-secret": lambda: reads(target.secret),
        "read-secret-by-dots": lambda: reads(f"{target.out}/../{Path(target.secret).name}"),
        "read-environ-of-parent": lambda: reads(f"/proc/{target.victim}/environ"),
        "list-root": lambda: "etc" in lists("/"),
        "write-outside": lambda: writes(target.outside, os.O_CREAT),
        "write-input": lambda: writes(target.input, 0),
        "truncate-input": lambda: libc.truncate(os.fsencode(target.input), 0) == 0,
        "remove-input": lambda: libc.unlink(os.fsencode(target.input)) == 0,
        "chmod-input": lambda: libc.chmod(os.fsencode(target.input), 0o777) == 0,
        "tcp": lambda: connects(socket.AF_INET, inet(target.tcp_port)),
        "udp": lambda: sends_a_datagram(target.tcp_port),
        "unix-socket": lambda: connects(
            socket.AF_UNIX, unix + os.fsencode(target.listener) + b"\0"
        ),
        "abstract-socket": lambda: connects(
            socket.AF_UNIX, unix + b"\0" + target.abstract.encode()
        ),
        "fork": forks,
        "exec": executes,
        "kill": lambda: libc.kill(target.victim, signal.SIGCONT) == 0,
        "ptrace": lambda: libc.ptrace(PTRACE_SEIZE, target.victim, None, None) == 0,
        "read-memory": reads_memory(target.victim),
        "open-by-handle": lambda: opens_by_handle(mount, passwd_handle),
        "i386-call": calls_as_i386(),
        "executable-memory": maps_executable,
        "mount": lambda: mounts(os.fsencode(target.out)),
        "new-user-namespace": lambda: libc.unshare(0x10000000) == 0,
        "io-uring": lambda: system_call("io_uring_setup", 1, bytes(120)) >= 0,
        "userfaultfd": lambda: system_call("userfaultfd", 1) >= 0,
        "memfd": lambda: system_call("memfd_create", b"x", 0) >= 0,
        "keyring": lambda: system_call("keyctl", 0, SESSION_KEYRING, 1) >= 0,
    }


def lists(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def handle_of(path: str) -> bytes:
    """The kernel's handle of a file: whoever has it needs no path."""
    handle, mount = ctypes.create_string_buffer(struct.pack("=I", 128), 136), ctypes.c_int()
    libc.name_to_handle_at(-100, path.encode(), handle, ctypes.byref(mount), 0)
    return handle.raw


def put_on(layers: str, target: Target) -> None:
    """Enter the whole cage, or one layer alone; fails loudly when it does not take hold."""
    reach = Reach((Path(target.input),), Path(target.out))
    taken: list[str] = []
    if layers == "cage":
        taken = list(cage.enter(Limits(), reach, target.parent))
    elif layers == "namespaces":
        taken = namespaces.isolate(reach, 60)[0] + capabilities.drop()
    elif layers == "landlock":
        taken = rlimits.give_up_privileges() + landlock.restrict(reach)
    elif layers == "seccomp":
        taken = rlimits.give_up_privileges() + seccomp.filter_calls()
    elif layers == "rlimits":
        taken = rlimits.forbid_processes()
    needed = {
        "none": set(),
        "rlimits": {"rlimit-nproc"},
        "namespaces": {PRIVATE_ROOT},
        "landlock": {FILE_RULES},
        "seccomp": {CALL_FILTER},
        "cage": {PRIVATE_ROOT, FILE_RULES, CALL_FILTER},
    }[layers]
    if layers == "cage":
        needed |= {"dropped-capabilities", "rlimit-nproc", "no-new-privileges", "audit-hook"}
    assert needed <= set(taken), f"not here: {taken}"


def work_is_possible(target: Target) -> bool:
    """What the reader has to do must go through in any sandbox."""
    part, whole = f"{target.out}/result.part", f"{target.out}/result"
    with open(target.input, "rb") as file:
        content = file.read()
    with open(part, "wb") as file:
        file.write(content)
    os.replace(part, whole)
    is_same = Path(whole).read_bytes() == content
    os.unlink(whole)
    return is_same and sorted(os.listdir(target.out)) == []


def main(layers: str, attempt: str, text: str) -> None:
    target = Target(**json.loads(text))
    every = attempts(target)
    cage.warm_up()  # What it loads may lie where another user does not reach.
    if target.uid is not None:
        os.setgroups([])
        os.setresgid(target.uid, target.uid, target.uid)
        os.setresuid(target.uid, target.uid, target.uid)
        # A program that was started by this user could be seen into by him; one that changed its
        # user on the way cannot, and then nobody may map its ids.
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    put_on(layers, target)
    print("CAGED", flush=True)
    print("ESCAPED" if every[attempt]() else "REFUSED", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
