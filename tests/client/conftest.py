"""One running service with the stand-in inspector, a checkpoint, and the client's wheel installed alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.gating import Gate
from tests.support import wheels
from tests.support.checkpoints import coop_state, save_dassl
from tests.support.processes import Embedded, embedded, stand_in_environment

PART_BYTES = 4096


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    parts = {"CLIPVET_PART_BYTES": str(PART_BYTES)}
    folder = tmp_path_factory.mktemp("service") / "data"
    with embedded(folder, stand_in_environment() | parts) as running:
        yield running


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dassl(tmp_path_factory.mktemp("artifacts") / "model.pth.tar-1", coop_state())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.build_client(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def shelf(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel needs, for a pip without a network."""
    return wheels.stock(wheel, tmp_path_factory.mktemp("needed") / "shelf")


@pytest.fixture(scope="session")
def installed(wheel: Path, shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds the client alone."""
    return wheels.install(wheel, shelf, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def gate(
    service: Embedded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Gate:
    """The gate before the running service."""
    # As narrow as a log of a pipeline: nothing that matters may be folded.
    monkeypatch.setenv("COLUMNS", "40")
    return Gate(service.url, tmp_path, monkeypatch, capsys)
