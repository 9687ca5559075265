"""What the running service allows itself: descriptors, and time for its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.serving import WorkerSupervisor
from tests.support.ledger import settings_in


@pytest.mark.parametrize(
    ("soft", "hard", "room"), [(256, 1024, 256), (64, 256, 32), (512, 512, 64)]
)
def test_descriptors_suffice_for_connections_and_their_files(
    soft: int, hard: int, room: int
) -> None:
    code = f"""if True:
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
        from app.serving import room_for_connections
        print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"{room} ({hard}, {hard})"


@pytest.mark.parametrize("timeout_s", [1, 15, 300])
def test_a_worker_that_ends_may_finish_its_webhooks(tmp_path: Path, timeout_s: float) -> None:
    supervisor = WorkerSupervisor(settings_in(tmp_path, webhook_timeout_s=timeout_s))
    assert timeout_s + 5 < supervisor.grace_s < timeout_s + 20
