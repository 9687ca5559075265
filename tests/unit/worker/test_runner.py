"""One attempt, in this process, with a stand-in inspection child and the real reader."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.models import Inspection, Upload
from tests.support import stand_in_inspector
from tests.support.checkpoints import (
    call_opcodes,
    coop_state,
    plant_pickle,
    save_dassl,
    torch_bytes,
)
from tests.support.ledger import CLASSES, Ledger, settings_in
from tests.support.report_schema import assert_conforms
from tests.support.servers import wait_for
from worker.runner import Runner

STAND_IN = [sys.executable, stand_in_inspector.__file__]

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(settings_in(tmp_path, inspector_command=STAND_IN))
    yield made
    made.close()


@pytest.fixture
def runner(ledger: Ledger) -> Iterator[Runner]:
    made = Runner(ledger.settings, ledger.context.database, ledger.context.store, "test/1")
    yield made
    made.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ck") / "model.pth.tar-1"
    return save_dassl(path, coop_state()).read_bytes()


@pytest.fixture
def submit(ledger: Ledger, checkpoint: bytes) -> Submit:
    def create(data: bytes | None = None, **wishes: Any) -> dict[str, Any]:
        orders = wishes.pop("orders", {})
        upload = ledger.upload(checkpoint if data is None else data)
        manifest = {"method": "auto", "classnames": CLASSES, "stand_in": orders}
        return ledger.inspection(upload["id"], classes=None, manifest=manifest, **wishes)

    return create


def test_a_job_ends_with_verdict_report_and_files(
    ledger: Ledger, runner: Runner, submit: Submit, checkpoint: bytes
) -> None:
    row = submit(orders={"verdict": "backdoored"}, repair=True)
    assert runner.run()
    assert not runner.run()
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["verdict"], seen["result"]) == ("succeeded", "backdoored", "fail")
    verdict = ledger.api.get(seen["links"]["verdict"]).json()
    assert verdict["summary"]["target"] == {"index": 0, "name": "cat"}
    files = ledger.api.get(seen["links"]["artifacts"]).json()["items"]
    assert {item["name"] for item in files} == {
        "repaired",
        "repaired.safetensors",
        "trigger-0.png",
        "trigger-0-amplified.png",
    }
    repaired = ledger.api.get(f"{seen['links']['artifacts']}/repaired")
    assert repaired.content == checkpoint
    assert repaired.headers["X-Content-Type-Options"] == "nosniff"
    assert "attachment" in repaired.headers["Content-Disposition"]
    page = ledger.api.get(seen["links"]["report_html"])
    assert page.text.count("data:image/png") == 2
    report = ledger.api.get(seen["links"]["report_json"]).json()
    assert report["repair"]["outcome"] == "unproved"
    assert_conforms(report)


def test_every_model_of_a_file_is_inspected(ledger: Ledger, runner: Runner, submit: Submit) -> None:
    two = torch_bytes({"state_dict": coop_state(seed=1), "state_dict_ema": coop_state(seed=2)})
    for asked, states in (
        ({}, ["state_dict", "state_dict_ema"]),
        ({"state": "state_dict_ema"}, []),
    ):
        row = submit(two, **asked)
        runner.run()
        report = ledger.api.get(f"/v1/inspections/{row['id']}/report.json").json()
        assert [model["state"] for model in report["models"]] == states
        assert report["artifact"]["state"] == asked.get("state", "state_dict")
        assert_conforms(report)


def test_the_child_stays_warm(ledger: Ledger, runner: Runner, submit: Submit) -> None:
    pids = []
    for seed in range(2):
        submit(seed=seed)
        runner.run()
        assert runner._pool._child is not None
        pids.append(runner._pool._child.pid)
    assert len(set(pids)) == 1


def test_a_crash_is_tried_again(
    ledger: Ledger, runner: Runner, submit: Submit, tmp_path: Path
) -> None:
    row = submit(orders={"crash_until_attempt": 2, "marker": str(tmp_path / "marker")})
    assert runner.run()
    assert ledger.get(row["id"])["status"] == "queued"
    assert runner.run()
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["attempt"], seen["error"]) == ("succeeded", 2, None)


def test_endless_crashes_end_as_failed(
    ledger: Ledger,
    runner: Runner,
    submit: Submit,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = submit(orders={"crash_until_attempt": 99, "marker": str(tmp_path / "marker")})
    while runner.run():
        pass
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["attempt"]) == ("failed", 3)
    assert seen["error"]["code"] == "inspection_crashed"
    assert "signal 9" in seen["error"]["message"]
    # The last words of a process may name files, so they are for the worker's log alone.
    assert "as told" not in seen["error"]["message"] and "as told" in caplog.text


@pytest.mark.parametrize(("kind", "status"), [("bug", "failed"), ("retry", "queued")])
def test_the_child_s_own_word_decides_on_a_retry(
    ledger: Ledger, runner: Runner, submit: Submit, kind: str, status: str
) -> None:
    row = submit(orders={"error": {"kind": kind, "code": "out_of_memory", "message": "m"}})
    runner.run()
    assert ledger.get(row["id"])["status"] == status


def run_beside(runner: Runner) -> threading.Thread:
    thread = threading.Thread(target=runner.run)
    thread.start()
    return thread


def test_cancel_ends_a_running_job_and_its_child(
    ledger: Ledger, runner: Runner, submit: Submit
) -> None:
    row = submit(orders={"seconds": 60})
    thread = run_beside(runner)
    wait_for("running", lambda: ledger.get(row["id"])["stage"] == "estimate")
    child = runner._pool._child
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    thread.join(timeout=10)
    assert ledger.get(row["id"])["status"] == "canceled"
    assert child is not None
    assert not child.is_alive


def test_the_deadline_ends_a_running_job(ledger: Ledger, runner: Runner, submit: Submit) -> None:
    row = submit(orders={"seconds": 60}, deadline_s=1.5)
    begun = time.monotonic()
    assert runner.run()
    assert ledger.get(row["id"])["status"] == "expired"
    assert time.monotonic() - begun < 10


def test_shutting_down_gives_the_job_back(ledger: Ledger, runner: Runner, submit: Submit) -> None:
    row = submit(orders={"seconds": 60})
    thread = run_beside(runner)
    wait_for("running", lambda: ledger.get(row["id"])["status"] == "running")
    runner.shutdown.set()
    thread.join(timeout=10)
    assert ledger.get(row["id"])["status"] == "queued"


def test_who_lost_the_job_leaves_no_child_that_talks_of_it(ledger: Ledger, submit: Submit) -> None:
    # The keeper looks too seldom: the job's own thread hears of it first, when it shows progress.
    seldom = ledger.settings.model_copy(update={"poll_s": 60.0, "event_interval_s": 0.05})
    runner = Runner(seldom, ledger.context.database, ledger.context.store, "test/1")
    row = submit(orders={"seconds": 60, "steps": 600})
    thread = run_beside(runner)
    wait_for("running", lambda: ledger.get(row["id"])["stage"] == "inversion")
    child = runner._pool._child
    with ledger.context.database.begin() as session:
        session.execute(update(Inspection).values(lease_owner="somebody else"))
    thread.join(timeout=20)
    assert child is not None
    is_alive, has_ended = child.is_alive, not thread.is_alive()
    runner.close()
    assert has_ended and not is_alive
    assert ledger.get(row["id"])["attempt"] == 1


def test_changed_bytes_in_the_store_are_never_inspected(
    ledger: Ledger, runner: Runner, submit: Submit
) -> None:
    row = submit()
    with ledger.context.database.read() as session:
        key = session.get_one(Upload, row["artifact"]["upload_id"]).storage_key
    (ledger.settings.data_dir / "store" / key).write_bytes(b"something else")
    runner.run()
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["error"]["code"]) == ("failed", "stored_bytes_changed")


@pytest.mark.parametrize("data", [b"no checkpoint at all", b"PK\x03\x04 truncated"])
def test_an_unreadable_file_is_a_result_and_needs_no_child(
    ledger: Ledger, runner: Runner, submit: Submit, data: bytes
) -> None:
    row = submit(data)
    runner.run()
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["verdict"], seen["result"]) == (
        "succeeded",
        "inconclusive",
        "fail",
    )
    report = ledger.api.get(seen["links"]["report_json"]).json()
    assert report["findings"]
    assert_conforms(report)
    assert ledger.api.get(seen["links"]["report_html"]).status_code == 200
    assert runner._pool._child is None


def test_a_file_that_would_run_code_is_critical(
    ledger: Ledger, runner: Runner, submit: Submit, checkpoint: bytes, tmp_path: Path
) -> None:
    source, marker = tmp_path / "good.pth", tmp_path / "it ran"
    source.write_bytes(checkpoint)
    bad = plant_pickle(
        source, tmp_path / "bad.pth", call_opcodes("os", "system", f"touch {marker}")
    )
    row = submit(bad.read_bytes())
    runner.run()
    seen = ledger.get(row["id"])
    assert (seen["verdict"], seen["result"]) == ("inconclusive", "fail")
    assert seen["summary"]["critical_findings"] == ["pickle-code-execution"]
    assert not marker.exists()


def test_progress_reaches_the_history(ledger: Ledger, runner: Runner, submit: Submit) -> None:
    row = submit(orders={"seconds": 0.5})
    runner.run()
    events = ledger.api.get(f"/v1/inspections/{row['id']}/events").json()["items"]
    stages = [event["stage"] for event in events]
    assert stages == ["queued", "fetch", "read", "start", "estimate", "inversion", "succeeded"]
    assert [event["status"] for event in events][-2:] == ["running", "succeeded"]


@pytest.mark.parametrize("stated", [{}, {"in_distribution": True}])
def test_uploaded_probes_reach_the_inspection_with_what_is_said_of_them(
    ledger: Ledger, runner: Runner, submit: Submit, stated: dict[str, bool]
) -> None:
    probes = ledger.upload(b"a zip of pictures", filename="pictures.zip")
    row = submit(probes=probes["id"], **stated)
    assert runner.run()
    report = json.loads(ledger.api.get(f"/v1/inspections/{row['id']}/report.json").text)
    shown = {key: report["probes"][key] for key in ("sha256", "in_distribution")}
    assert shown == {"sha256": probes["sha256"], "in_distribution": bool(stated)}
    assert_conforms(report)


def test_pictures_of_a_repair_reach_the_inspection_as_files(
    ledger: Ledger, runner: Runner, submit: Submit
) -> None:
    contents = {"labelled": b"a zip of labelled pictures", "pairs": b"a tar of pairs"}
    uploads = {name: ledger.upload(one, filename=name) for name, one in contents.items()}
    row = submit(repair=True, **{name: one["id"] for name, one in uploads.items()})
    assert runner.run()
    report = ledger.api.get(f"/v1/inspections/{row['id']}/report.json").json()
    for name, content in contents.items():
        told = f"{name}: {len(content)} bytes, sha256 {uploads[name]['sha256']}"
        assert told in report["limits"]


@pytest.mark.parametrize("option", ["labelled", "pairs"])
def test_a_job_from_before_there_was_an_option_is_run(
    ledger: Ledger, runner: Runner, submit: Submit, option: str
) -> None:
    row = submit(repair=True)
    with ledger.context.database.begin() as session:
        kept = session.get_one(Inspection, row["id"])
        kept.request = {key: one for key, one in kept.request.items() if key != option}
    assert runner.run()
    assert ledger.get(row["id"])["status"] == "succeeded"


def test_registered_backbones_are_resolved_by_the_operator_only(
    tmp_path: Path, checkpoint: bytes
) -> None:
    settings = settings_in(
        tmp_path / "registered", inspector_command=STAND_IN, backbones={"ours": "/srv/backbone"}
    )
    ledger = Ledger(settings)
    runner = Runner(settings, ledger.context.database, ledger.context.store, "test/1")
    try:
        for typed, name, place in (
            ("ours", "ours", "/srv/backbone"),
            ("ours@sha256:ab", "ours@sha256:ab", "/srv/backbone"),
            ("vit_b16", "ViT-B-16/openai", None),
        ):
            row = ledger.inspection(ledger.upload(checkpoint)["id"], backbone=typed)
            runner.run()
            report = json.loads(ledger.api.get(f"/v1/inspections/{row['id']}/report.json").text)
            assert (row["backbone"], report["backbone"]["id"]) == (name, name)
            assert report["assembly_reason"] == f"backbone at {place}"
    finally:
        runner.close()
        ledger.close()
