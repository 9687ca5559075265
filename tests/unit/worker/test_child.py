"""The warm child: protocol, crashes, silence, recycling, and dying with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.servers import wait_for
from worker.child import ChildPool, InspectionChild, launched, scrubbed_environment
from worker.faults import ChildFault

ECHO = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"event": "progress", "pid": os.getpid()}), flush=True)
    print(json.dumps({"event": "done", "report": "r"}), flush=True)
"""


def script(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


Start = Callable[[str], InspectionChild]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[InspectionChild] = []

    def begin(code: str) -> InspectionChild:
        children.append(InspectionChild(script(code), tmp_path))
        return children[-1]

    yield begin
    for child in children:
        child.kill()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_one_child_answers_many_requests(start: Start) -> None:
    child = start(ECHO)
    for _ in range(3):
        replies = list(child.ask({"id": "x"}, 10))
        assert [reply["event"] for reply in replies] == ["progress", "done"]
        assert replies[0]["pid"] == child.pid


@pytest.mark.parametrize(
    ("code", "fault", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "inspection_crashed", "9"),
        ("import sys; sys.exit('/srv/b is gone')", "inspection_crashed", "exit status 1"),
        ("print('/srv/b', flush=True); input(); input()", "inspection_protocol", "something else"),
        ("print('[1]', flush=True); input(); input()", "inspection_protocol", "something else"),
        ("import time; time.sleep(60)", "inspection_hung", "said nothing"),
    ],
)
def test_a_broken_child_is_a_fault(
    start: Start, code: str, fault: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ChildFault) as caught:
        list(start(code).ask({"id": "x"}, 1.0))
    assert caught.value.code == fault
    assert message in str(caught.value)
    assert not caught.value.is_final
    # What it said may name files: that is for the worker's log, not for the row.
    assert "/srv" not in str(caught.value)
    assert ("/srv/b" in caplog.text) == ("/srv/b" in code)


def test_a_chatty_log_does_not_block_the_child(start: Start) -> None:
    noisy = "import sys\nsys.stderr.write('x' * 5_000_000 + '\\n')\n" + textwrap.dedent(ECHO)
    assert [reply["event"] for reply in start(noisy).ask({}, 10)] == ["progress", "done"]


def test_killing_ends_grandchildren_too(start: Start) -> None:
    child = start(
        """
        import json, subprocess, sys
        other = subprocess.Popen(["sleep", "60"])
        print(json.dumps({"event": "progress", "pid": other.pid}), flush=True)
        other.wait()
        """
    )
    grandchild = next(iter(child.ask({}, 10)))["pid"]
    assert is_running(grandchild)
    child.kill()
    wait_for("the grandchild's end", lambda: not is_running(grandchild), 5)


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_pool_replaces_a_child_when_it_should(tmp_path: Path, jobs: int) -> None:
    pool = ChildPool(script(ECHO), tmp_path, max_jobs=jobs)
    try:
        first = pool.child_for("a")
        pids = [pool.child_for("a").pid for _ in range(jobs - 1)]
        assert set(pids) <= {first.pid}
        assert pool.child_for("a").pid != first.pid
        assert not first.is_alive
        second = pool.child_for("b")
        assert second.pid != first.pid
        os.kill(second.pid, signal.SIGKILL)
        wait_for("death", lambda: not second.is_alive, 5)
        assert pool.child_for("b").is_alive
    finally:
        pool.drop()


SECRET = "hunter2"


def test_children_inherit_no_credentials(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up in the kernel: what a real child was started with."""
    for name in (
        "CLIPVET_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "HF_TOKEN_PATH", "HF_API_KEY",
        "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN", "TORCH_SECRET", "CUDA_TOKEN", "NVIDIA_API_KEY",
        "OMP_TOKEN", "MKL_TOKEN", "KMP_TOKEN", "GOMP_TOKEN", "WANDB_API_KEY", "PGPASSWORD",
        "GITHUB_TOKEN", "DATABASE_URL",
    ):  # fmt: skip
        monkeypatch.setenv(name, SECRET)
    for name in ("HF_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"https://me:{SECRET}@mirror.example/")
    own = {"HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"}
    own |= {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_NUM_THREADS"}
    for name in own:
        monkeypatch.setenv(name, "1")
    child = start(ECHO)
    list(child.ask({}, 10))
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert SECRET.encode() not in environment
    names = {line.partition(b"=")[0].decode() for line in environment.split(b"\0")}
    assert own <= names
    assert b"HF_HUB_DISABLE_IMPLICIT_TOKEN=1" in environment.split(b"\0")


def test_a_mirror_without_credentials_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/a@b")
    assert scrubbed_environment()["HF_ENDPOINT"] == "https://mirror.example/a@b"


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent_code = f"""
        import signal, subprocess, sys
        from worker.child import launched
        subprocess.Popen(launched({script(sleeper)!r}, signal.SIGKILL)).wait()
    """
    parent = subprocess.Popen(script(parent_code))
    wait_for("the child", lambda: note.exists() and note.read_text() != "")
    child = int(note.read_text())
    assert is_running(child)
    parent.kill()
    parent.wait()
    wait_for("the child's end", lambda: not is_running(child), 5)


def test_a_launcher_whose_parent_is_gone_runs_nothing(tmp_path: Path) -> None:
    note = tmp_path / "ran"
    command = launched(script(f"open({str(note)!r}, 'w')"), signal.SIGKILL)
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, check=False).returncode == 1
    time.sleep(0.1)
    assert not note.exists()
