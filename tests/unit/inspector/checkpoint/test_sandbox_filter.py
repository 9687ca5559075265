"""The system call filter, run instruction by instruction as the kernel would run it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.checkpoint.sandbox.seccomp import ALLOW, DENY, KILL, UNKNOWN, Instruction, program
from inspector.checkpoint.sandbox.syscalls import AARCH64, NEWEST, X86_64, Machine, machine_named

PID = 4711
I386, ARM = 0x40000003, 0x40000028
MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
READING = ("read", "pread64", "write", "lseek", "openat", "close", "newfstatat", "mmap", "munmap",
           "brk", "mremap", "getdents64", "futex", "exit_group", "rt_sigreturn")  # fmt: skip
BREAKING_OUT = (
    "execve", "execveat", "clone", "ptrace", "process_vm_readv", "process_vm_writev", "socket",
    "socketpair", "connect", "bind", "listen", "accept4", "sendto", "sendmsg", "mount", "umount2",
    "pivot_root", "chroot", "setns", "unshare", "open_tree", "move_mount", "open_by_handle_at",
    "kexec_load", "kexec_file_load", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key",
    "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register", "init_module",
    "finit_module", "memfd_create", "memfd_secret", "pidfd_getfd",
)  # fmt: skip

any_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def run(code: tuple[Instruction, ...], data: bytes) -> int:
    """Classic BPF as far as seccomp lets programs use it; every jump is checked."""
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                assert operand % 4 == 0
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x06:
                return operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x25:
                at += if_true if accumulator > operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x45:
                at += if_true if accumulator & operand else if_false
            case _:
                raise AssertionError(f"no such instruction: {operation:#x}")


def answer(machine: Machine, number: int, *arguments: int, code: int | None = None) -> int:
    padded = [*arguments, *[0] * (6 - len(arguments))]
    audit_code = machine.audit_code if code is None else code
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, audit_code, 0, *padded)
    return run(program(machine, PID), data)


@any_machine
def test_every_jump_stays_inside(machine: Machine) -> None:
    code = program(machine, PID)
    assert len(code) < 4096
    for at, (operation, if_true, if_false, operand) in enumerate(code):
        assert 0 <= operand < 2**32
        assert 0 <= if_true < 256 and 0 <= if_false < 256
        if operation != 0x06:
            assert at + 1 + max(if_true, if_false) < len(code)


@any_machine
def test_what_reading_needs_passes(machine: Machine) -> None:
    for name in READING:
        assert answer(machine, machine.numbers[name]) == ALLOW, name


@any_machine
def test_what_breaks_out_kills(machine: Machine) -> None:
    for name in BREAKING_OUT:
        assert answer(machine, machine.numbers[name], 1, 2, 3) == KILL, name


def test_the_old_calls_that_make_processes_kill() -> None:
    assert answer(X86_64, X86_64.numbers["fork"]) == KILL
    assert answer(X86_64, X86_64.numbers["vfork"]) == KILL


@any_machine
@pytest.mark.parametrize("code", [I386, ARM, 0, 0xFFFFFFFF])
def test_another_architecture_kills_whatever_it_calls(machine: Machine, code: int) -> None:
    for number in (0, 1, 11, 63, 64, 93, 231, 400):
        assert answer(machine, number, code=code) == KILL


@given(st.integers(0x40000000, 0xFFFFFFFF))
def test_the_x32_convention_kills(number: int) -> None:
    assert answer(X86_64, number) == KILL


@any_machine
def test_every_number_has_an_answer_and_few_pass(machine: Machine) -> None:
    answers = {number: answer(machine, number, 1, 1, 1) for number in range(NEWEST + 100)}
    known = set(machine.numbers.values())
    for number, seen in answers.items():
        if number > NEWEST:
            assert seen == UNKNOWN
        elif number not in known:
            assert seen == DENY, number
    assert sum(seen == ALLOW for seen in answers.values()) < 75
    assert answer(machine, machine.numbers["clone3"]) == UNKNOWN
    assert answer(machine, machine.numbers["kill"], PID, 9) == DENY


@any_machine
@given(prot=st.integers(0, 2**64 - 1))
def test_no_memory_becomes_executable(machine: Machine, prot: int) -> None:
    for name in ("mmap", "mprotect"):
        expected = DENY if prot & 4 else ALLOW
        assert answer(machine, machine.numbers[name], 0, 4096, prot) == expected


@any_machine
@given(pid=st.integers(0, 2**32 - 1) | st.just(PID))
def test_signals_reach_this_process_only(machine: Machine, pid: int) -> None:
    expected = ALLOW if pid == PID else DENY
    assert answer(machine, machine.numbers["tgkill"], pid, pid, 6) == expected


@any_machine
@given(request=st.integers(0, 2**32 - 1))
def test_few_device_and_descriptor_commands_pass(machine: Machine, request: int) -> None:
    terminals = (0x5401, 0x802C542A, 0x5450, 0x5451)
    steal_input, own_signal = 0x5412, 8  # TIOCSTI, F_SETOWN
    for command in (request, *terminals, steal_input):
        expected = ALLOW if command in terminals else DENY
        assert answer(machine, machine.numbers["ioctl"], 0, command) == expected
    for command in (request, own_signal, 0, 1, 2, 3, 1030):
        expected = ALLOW if command in (0, 1, 2, 3, 1030) else DENY
        assert answer(machine, machine.numbers["fcntl"], 0, command) == expected


@any_machine
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 9, 0, 0x1000), ALLOW),
        ((0, 9, 0x1000, 0), DENY),
        ((0, 9, 0x100000000, 0), DENY),
        ((1, 9, 0, 0x1000), DENY),
    ],
)
def test_limits_can_be_asked_for_only(
    machine: Machine, arguments: tuple[int, ...], expected: int
) -> None:
    assert answer(machine, machine.numbers["prlimit64"], *arguments) == expected


@pytest.mark.parametrize("name", MACHINES)
def test_the_numbers_are_those_of_the_kernel(name: str) -> None:
    if not HEADERS[name].is_file():
        pytest.skip("the kernel's headers are not installed")
    pattern = re.compile(r"#define __NR(3264)?_(\w+)\s+(\d+)$", re.MULTILINE)
    aliases = {"newfstatat": "fstatat"} if name == "aarch64" else {}
    found = {row[1]: int(row[2]) for row in pattern.findall(HEADERS[name].read_text())}
    for call, number in MACHINES[name].numbers.items():
        if call in found or aliases.get(call) in found:
            assert found.get(call, found.get(aliases.get(call, ""))) == number, call
    assert len(MACHINES[name].numbers.keys() & found.keys()) > 100


def test_machines_by_name() -> None:
    assert machine_named("x86_64") is X86_64
    assert machine_named("aarch64") is AARCH64
    assert machine_named("riscv64") is None
