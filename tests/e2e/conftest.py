"""A small genuine checkpoint for real processes to chew on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checkpoints import coop_state, save_dassl


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dassl(tmp_path_factory.mktemp("artifacts") / "model.pth.tar-1", coop_state())
