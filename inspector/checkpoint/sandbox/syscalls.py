"""The numbers of the system calls that the sandbox names, on x86-64 and AArch64.

Source: ``asm/unistd_64.h`` and ``asm-generic/unistd.h`` of Linux. Knows no policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEWEST = 450
"""The highest number when this table was made; what is above it did not exist yet."""

# name, x86-64, AArch64; a dash where the architecture never had the call.
_TABLE = """
    accept 43 202; accept4 288 242; access 21 -; add_key 248 217; bind 49 200; bpf 321 280;
    brk 12 214; capset 126 91; chroot 161 51; clock_getres 229 114; clock_gettime 228 113;
    clock_nanosleep 230 115; clone 56 220; clone3 435 435; close 3 57; connect 42 203;
    copy_file_range 326 285; delete_module 176 106; dup 32 23; execve 59 221; execveat 322 281;
    exit 60 93; exit_group 231 94; faccessat 269 48; faccessat2 439 439; fadvise64 221 223;
    fallocate 285 47; fcntl 72 25; fdatasync 75 83; finit_module 313 273; fork 57 -;
    fsmount 432 432; fsopen 430 430; fstat 5 80; fsync 74 82; ftruncate 77 46; futex 202 98;
    getcwd 79 17; getdents64 217 61; getegid 108 177; geteuid 107 175; getgid 104 176;
    getpid 39 172; getppid 110 173; getrandom 318 278; getrusage 98 165; gettid 186 178;
    gettimeofday 96 169; getuid 102 174; init_module 175 105; io_uring_enter 426 426;
    io_uring_register 427 427; io_uring_setup 425 425; ioctl 16 29; kexec_file_load 320 294;
    kexec_load 246 104; keyctl 250 219; kill 62 129; landlock_add_rule 445 445;
    landlock_create_ruleset 444 444; landlock_restrict_self 446 446; listen 50 201; lseek 8 62;
    lstat 6 -; madvise 28 233; memfd_create 319 279; memfd_secret 447 447; mmap 9 222;
    mount 165 40; mount_setattr 442 442; move_mount 429 429; mprotect 10 226; mremap 25 216;
    munmap 11 215; nanosleep 35 101; newfstatat 262 79; open 2 -; open_by_handle_at 304 265;
    open_tree 428 428; openat 257 56; perf_event_open 298 241; pidfd_getfd 438 438;
    pidfd_open 434 434; pidfd_send_signal 424 424; pivot_root 155 41; prctl 157 167;
    pread64 17 67; prlimit64 302 261; process_vm_readv 310 270; process_vm_writev 311 271;
    ptrace 101 117; pwrite64 18 68; read 0 63; readlink 89 -; readlinkat 267 78; readv 19 65;
    rename 82 -; renameat 264 38; renameat2 316 276; request_key 249 218; restart_syscall 219 128;
    rseq 334 293; rt_sigaction 13 134; rt_sigprocmask 14 135; rt_sigreturn 15 139;
    sched_getaffinity 204 123; sched_yield 24 124; seccomp 317 277; sendfile 40 71;
    sendmmsg 307 269; sendmsg 46 211; sendto 44 206; set_robust_list 273 99; setns 308 268;
    sigaltstack 131 132; socket 41 198; socketpair 53 199; stat 4 -; statx 332 291;
    sysinfo 99 179; tgkill 234 131; time 201 -; tkill 200 130; umount2 166 39; unlink 87 -;
    unlinkat 263 35; unshare 272 97; userfaultfd 323 282; vfork 58 -; write 1 64; writev 20 66
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One architecture: its audit code (``AUDIT_ARCH_*``) and its numbers.

    ``foreign_from``: numbers from here on belong to another calling convention (x32), or None.
    """

    audit_code: int
    numbers: Mapping[str, int]
    foreign_from: int | None = None


def _column(index: int) -> dict[str, int]:
    rows = (row.split() for row in _TABLE.replace("\n", " ").split(";"))
    return {row[0]: int(row[index]) for row in rows if row[index] != "-"}


X86_64 = Machine(0xC000003E, _column(1), foreign_from=0x40000000)
AARCH64 = Machine(0xC00000B7, _column(2))
_MACHINES = {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}


def machine_named(name: str) -> Machine | None:
    """The architecture that ``uname -m`` calls ``name``; None when we have no numbers for it."""
    return _MACHINES.get(name.lower())
