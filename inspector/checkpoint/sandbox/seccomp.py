"""The system call filter: what reading a file needs, and nothing else.

An allow-list. A call that is not on it fails with EPERM, one newer than our table with ENOSYS, so
that libc falls back; calls with which code breaks out (processes, sockets, mounts, tracing, kernel
interfaces with a history) kill the process, as does any other architecture's calling convention.
Memory cannot be made executable, signals reach this process only, and of ``fcntl``, ``ioctl`` and
``prlimit64`` only harmless commands pass. Not covered: which file is opened, because the filter
sees addresses, not paths. :func:`program` is a pure function; the rest hands it to the kernel.
"""

from __future__ import annotations

import errno
import os
import struct
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass

from inspector.checkpoint.levels import CALL_FILTER, refused
from inspector.checkpoint.sandbox import kernel
from inspector.checkpoint.sandbox.syscalls import NEWEST, Machine

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: ``struct sock_filter``."""

ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000
DENY = _ERRNO | errno.EPERM
UNKNOWN = _ERRNO | errno.ENOSYS

_LOAD, _EQUAL, _ABOVE, _FROM, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_SET_MODE_FILTER = 1
_PROT_EXEC = 4
_FCNTL = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_IOCTL = (0x5401, 0x802C542A, 0x5450, 0x5451)  # TCGETS, TCGETS2 (isatty), FIONCLEX, FIOCLEX

_ALLOWED = """
    pread64 read write lseek mmap munmap brk mremap madvise futex openat open close fstat newfstatat
    stat lstat statx pwrite64 readv writev access faccessat faccessat2 readlink readlinkat
    getdents64 getcwd rename renameat renameat2 unlink unlinkat ftruncate fsync fdatasync fallocate
    fadvise64 copy_file_range sendfile dup mprotect fcntl ioctl prlimit64 tgkill rt_sigaction
    rt_sigprocmask rt_sigreturn sigaltstack restart_syscall exit exit_group clock_gettime
    clock_getres gettimeofday time nanosleep clock_nanosleep getrandom getpid getppid gettid getuid
    geteuid getgid getegid getrusage sysinfo sched_yield sched_getaffinity set_robust_list rseq
"""

_DEADLY = """
    execve execveat fork vfork clone ptrace process_vm_readv process_vm_writev pidfd_open
    pidfd_getfd pidfd_send_signal socket socketpair connect bind listen accept accept4 sendto
    sendmsg sendmmsg mount umount2 pivot_root chroot setns unshare open_tree move_mount fsopen
    fsmount mount_setattr open_by_handle_at kexec_load kexec_file_load bpf perf_event_open
    userfaultfd keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register
    init_module finit_module delete_module memfd_create memfd_secret
"""


@dataclass(frozen=True, slots=True)
class _Condition:
    """On one 32-bit word of an argument: it is one of ``values``, or it has no bit of ``mask``."""

    argument: int
    values: tuple[int, ...] = ()
    mask: int = 0
    is_high: bool = False

    def code(self) -> list[Instruction]:
        """Falls through when the condition holds and denies the call when not."""
        at = _ARGUMENTS_AT + 8 * self.argument + 4 * self.is_high
        if self.mask:
            test: list[Instruction] = [(_ANY_BIT, 0, 1, self.mask)]
        else:
            count = len(self.values)
            test = [(_EQUAL, count - i, 0, value) for i, value in enumerate(self.values)]
        return [(_LOAD, 0, 0, at), *test, (_RETURN, 0, 0, DENY)]


def program(machine: Machine, pid: int) -> tuple[Instruction, ...]:
    """The filter for a process ``pid`` on ``machine``: classic BPF on ``struct seccomp_data``."""
    conditions = _conditions(pid)
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, machine.audit_code),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine.foreign_from is not None:
        code += [(_FROM, 0, 1, machine.foreign_from), (_RETURN, 0, 0, KILL)]
    numbers = machine.numbers
    for name in _ALLOWED.split():
        if name in numbers:
            body = [step for condition in conditions.get(name, ()) for step in condition.code()]
            code += _when(numbers[name], [*body, (_RETURN, 0, 0, ALLOW)])
    for name in _DEADLY.split():
        if name in numbers:
            code += _when(numbers[name], [(_RETURN, 0, 0, KILL)])
    # libc falls back from clone3 to clone when it is unknown.
    code += _when(numbers["clone3"], [(_RETURN, 0, 0, UNKNOWN)])
    code += [(_ABOVE, 0, 1, NEWEST), (_RETURN, 0, 0, UNKNOWN), (_RETURN, 0, 0, DENY)]
    return tuple(code)


def filter_calls() -> list[str]:
    """Put the filter on this process for ever; gives the layer, or how it was refused.

    Needs no-new-privileges, unless the process has CAP_SYS_ADMIN.
    """
    try:
        install(program(kernel.machine(), os.getpid()))
    except OSError as error:
        return [refused(CALL_FILTER, error.strerror or str(error))]
    return [CALL_FILTER]


def install(code: tuple[Instruction, ...]) -> None:
    """Hand a filter to the kernel. Raises ``OSError`` when it, or an outer filter, refuses."""
    steps = create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    kernel.call("seccomp", _SET_MODE_FILTER, 0, struct.pack("@HP", len(code), addressof(steps)))


def _conditions(pid: int) -> dict[str, tuple[_Condition, ...]]:
    not_executable = (_Condition(2, mask=_PROT_EXEC),)
    return {
        "mmap": not_executable,
        "mprotect": not_executable,
        "fcntl": (_Condition(1, _FCNTL),),
        "ioctl": (_Condition(1, _IOCTL),),
        "tgkill": (_Condition(0, (pid,)),),
        # Only asking for one's own limits.
        "prlimit64": (
            _Condition(0, (0,)),
            _Condition(2, (0,)),
            _Condition(2, (0,), is_high=True),
        ),
    }


def _when(number: int, body: list[Instruction]) -> list[Instruction]:
    """``body``, which must end in a return, for the call ``number``; else on to what follows."""
    return [(_EQUAL, 0, len(body), number), *body]
