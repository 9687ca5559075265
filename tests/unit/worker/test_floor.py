"""A worker that cannot cage the reader as demanded fails the job and judges no file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import forbidding, stand_in_inspector
from tests.support.checkpoints import coop_state, save_dassl
from tests.support.ledger import CLASSES, Ledger, settings_in
from worker.runner import Runner

STAND_IN = [sys.executable, stand_in_inspector.__file__]


@pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
@pytest.mark.parametrize(("floor", "status"), [("namespaces", "failed"), ("rlimits", "succeeded")])
def test_the_floor_of_the_sandbox(
    floor: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(settings_in(tmp_path, inspector_command=STAND_IN, sandbox_floor=floor))
    runner = Runner(ledger.settings, ledger.context.database, ledger.context.store, "test/1")
    checkpoint = save_dassl(tmp_path / "model.pth.tar-1", coop_state()).read_bytes()
    manifest = {"method": "auto", "classnames": CLASSES, "stand_in": {}}
    row = ledger.inspection(ledger.upload(checkpoint)["id"], classes=None, manifest=manifest)
    monkeypatch.setattr(sys, "executable", str(forbidding.interpreter(tmp_path, "unshare")))
    try:
        assert runner.run()
        seen = ledger.get(row["id"])
    finally:
        runner.close()
        ledger.close()
    assert seen["status"] == status
    if status == "failed":
        assert (seen["verdict"], seen["error"]["code"]) == (None, "sandbox_too_weak")
        assert "below the floor 'namespaces'" in seen["error"]["message"]
        assert "unshare: Operation not permitted" in seen["error"]["message"]
