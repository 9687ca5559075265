"""How many threads a process takes, and that what the user sets stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inspector import threads

ASK = """
import json, os, runpy, sys
sys.argv = ["inspector", "--help"]
try:
    runpy.run_module("inspector", run_name="__main__")
except SystemExit:
    pass
assert "torch" not in sys.modules
from inspector.clip.backbone import load_backbone
load_backbone("pocket")
import torch
names = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
print(json.dumps([torch.get_num_threads(), *map(os.environ.get, names)]))
"""
PLAIN = ("PATH", "HOME", "LANG")


def ask(**setting: str) -> tuple[list[object], str]:
    """Threads and settings of a fresh process that has loaded `pocket`, as every command does.

    With them comes what OpenMP itself tells of its settings, if it does.
    """
    plain = {name: os.environ[name] for name in PLAIN if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=plain | {"OMP_DISPLAY_ENV": "true"} | setting,
        capture_output=True,
        text=True,
        check=True,
    )
    told: list[object] = json.loads(done.stdout.splitlines()[-1])
    return told, done.stderr


def test_a_command_gives_a_small_backbone_one_thread_and_lets_waiting_ones_sleep() -> None:
    told, runtime = ask()
    assert told == [1, "passive", "0", None]
    if "OMP_WAIT_POLICY" in runtime:
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in runtime


def test_what_the_user_sets_stays() -> None:
    told, _runtime = ask(OMP_NUM_THREADS="2", OMP_WAIT_POLICY="active")
    assert told == [2, "active", None, "2"]


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_how_the_user_lets_threads_wait_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {name: "7"})
    threads.wait_asleep()
    assert os.environ == {name: "7"}


@pytest.mark.parametrize(
    ("parameters", "cores", "expected"),
    [
        (1_100_000, 64, 1),
        (threads.SMALL_PARAMETERS - 1, 64, 1),
        (threads.SMALL_PARAMETERS, 64, 64),
        (86_000_000, 16, 16),
        (86_000_000, 1, 1),
    ],
)
def test_small_backbones_get_one_thread_and_large_ones_all_cores(
    parameters: int, cores: int, expected: int
) -> None:
    assert threads.threads_for(parameters, cores) == expected


def test_torch_is_told_unless_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(os, "environ", {})
        for parameters in (86_000_000, 1_100_000):
            threads.fit_to(parameters)
            expected = threads.threads_for(parameters, threads.usable_cores())
            assert torch.get_num_threads() == expected
        monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "1"})
        threads.fit_to(86_000_000)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


V2 = {"proc/self/cgroup": "0::/a/b\n"}
V1 = {"proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n"}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        (V2, 8),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "300000 100000\n"}, 3),
        (V2 | {"sys/fs/cgroup/a/cpu.max": "250000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "9900000 100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "broken\n"}, 8),
        (V2 | {"proc/self/cgroup": "broken\n"}, 8),
        (
            V1
            | {
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            V1
            | {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 4},{n % 4 + 4}\n" for n in range(8)}, 4),
    ],
)  # fmt: skip
def test_usable_cores(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert threads.usable_cores(tmp_path) == cores


def test_usable_cores_of_this_machine() -> None:
    assert 1 <= threads.usable_cores() <= (os.cpu_count() or 1)
