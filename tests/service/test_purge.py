"""The purger on both databases and both stores: what goes, what must stay, and who may be at work."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app import keys
from app.db.base import utcnow
from app.inspections import lease
from app.models import Artifact, Chore, IdempotencyKey, Inspection, Upload, UploadPart
from app.purge import KINDS, Order, Purger, Tally, orphans, purge, rows
from app.settings import Settings
from app.storage import FolderStore
from tests.service.conftest import s3_settings
from tests.support.ledger import Ledger, settings_in
from tests.support.servers import new_database, shared_servers

DATA = b"some bytes"


@pytest.fixture(params=["folder-sqlite", "s3-postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    settings = settings_in(tmp_path)
    if request.param == "s3-postgres":
        url = new_database(shared_servers().postgres)
        settings = s3_settings(tmp_path).model_copy(update={"database_url": url})
    made = Ledger(settings)
    yield made
    made.close()


def purged(ledger: Ledger, **wishes: Any) -> Tally:
    """Everything goes, however young."""
    order = Order.of(ledger.settings, **({"older_than_s": 0} | wishes))
    tally = purge(ledger.context.database, ledger.context.store, order)
    assert tally.faults == {}
    return tally


def counts(tally: Tally) -> dict[str, int]:
    return {kind: tally.count[kind] for kind in KINDS if tally.count[kind]}


def open_upload(ledger: Ledger, *, parts: bool = True) -> str:
    made = ledger.api.post("/v1/uploads", json={"filename": "m", "size": len(DATA)}).json()
    if parts:
        assert ledger.api.put(made["parts"][0]["upload_url"], content=DATA).status_code == 200
    return str(made["id"])


def put(ledger: Ledger, key: str, data: bytes = DATA) -> str:
    source = ledger.settings.data_dir / "source"
    source.write_bytes(data)
    ledger.context.store.put(key, source)
    return key


def expire(ledger: Ledger, upload: str, status: str = "open") -> None:
    with ledger.context.database.begin() as session:
        row = session.get_one(Upload, upload)
        row.expires_at, row.status = utcnow() - timedelta(seconds=1), status


def lying(ledger: Ledger) -> set[str]:
    return {found.key for found in ledger.context.store.objects()}


def unfinished(ledger: Ledger) -> int:
    return len(list(ledger.context.store.unfinished()))


def finish(ledger: Ledger, inspection: str, names: list[str]) -> list[str]:
    """An attempt that ends with these files; their keys."""
    database = ledger.context.database
    held = lease.claim(database, "w", 60)
    assert held is not None and held.inspection_id == inspection
    files = []
    for name in names:
        key = put(ledger, keys.of_artifact(held.tenant, held.inspection_id, held.attempt, name))
        files.append(
            Artifact(
                inspection_id=inspection, name=name, storage_key=key, sha256="0" * 64,
                size=len(DATA), media_type="x",
            )
        )  # fmt: skip
    lease.finish(database, held, lease.Outcome("clean", "{}", "0" * 64, {}, files))
    return [file.storage_key for file in files]


def test_what_somebody_may_still_ask_for_stays(ledger: Ledger) -> None:
    stored = ledger.upload(DATA)["id"]
    job = ledger.inspection(stored)["id"]
    kept = finish(ledger, job, ["a.png", "b"])
    going_on = open_upload(ledger)
    untouched = open_upload(ledger, parts=False)
    ledger.api.post(
        "/v1/uploads", json={"filename": "m", "size": 1}, headers={"Idempotency-Key": "k"}
    )
    before = lying(ledger)
    assert len(before) == 3
    assert counts(purged(ledger)) == {}
    assert lying(ledger) == before > set(kept)
    assert ledger.stored_bytes(stored) == DATA
    assert ledger.api.get(f"/v1/inspections/{job}/artifacts/b").content == DATA
    assert ledger.api.post(f"/v1/uploads/{going_on}/complete").status_code == 200
    assert ledger.api.get(f"/v1/uploads/{untouched}").status_code == 200


@pytest.mark.parametrize("status", ["open", "joining"])
def test_expired_uploads_go_with_rows_and_parts(ledger: Ledger, status: str) -> None:
    gone, empty, kept = open_upload(ledger), open_upload(ledger, parts=False), open_upload(ledger)
    for upload in (gone, empty):
        expire(ledger, upload, status)
    assert counts(purged(ledger, dry_run=True)) == {"expired uploads": 2}
    assert unfinished(ledger) == 2
    tally = purged(ledger)
    assert counts(tally) == {"expired uploads": 2}
    assert tally.size["expired uploads"] == len(DATA)
    assert unfinished(ledger) == 1
    assert ledger.api.get(f"/v1/uploads/{gone}").status_code == 404
    assert ledger.api.post(f"/v1/uploads/{gone}/complete").status_code == 404
    assert ledger.api.post(f"/v1/uploads/{kept}/complete").status_code == 200
    with ledger.context.database.read() as session:
        assert set(session.scalars(select(UploadPart.upload_id))) == {kept}


def test_orphans_of_every_kind_go(ledger: Ledger) -> None:
    stored = ledger.upload(DATA)["id"]
    job = ledger.inspection(stored)["id"]
    (kept,) = finish(ledger, job, ["a"])
    canceled = ledger.inspection(stored)["id"]
    ledger.api.post(f"/v1/inspections/{canceled}/cancel")
    store = ledger.context.store
    garbage = {
        put(ledger, keys.of_upload("default", "upl_gone")),
        put(ledger, keys.of_upload("default", stored)),
        put(ledger, keys.of_artifact("default", job, 2, "a")),
        put(ledger, keys.of_artifact("default", job, 1, "b")),
        put(ledger, keys.of_artifact("default", canceled, 1, "a")),
        put(ledger, keys.of_artifact("default", "insp_gone", 1, "a")),
        put(ledger, "tenants/default/canonical/00/1.safetensors"),
    }
    foreign = {put(ledger, "tenants/default/else/x"), put(ledger, "tenants/default/uploads/x")}
    for upload in ("upl_gone", stored):
        store.begin_parts(keys.of_upload("default", upload))
    before = lying(ledger)
    tally = purged(ledger, dry_run=True)
    assert {item.name for item in tally.items if "objects" in item.kind} == garbage
    assert (lying(ledger), unfinished(ledger)) == (before, 2)
    wanted = {"unfinished uploads in parts": 2, "orphan objects": 6, "canonical objects": 1}
    assert counts(tally) == counts(purged(ledger)) == wanted
    assert lying(ledger) == before - garbage >= foreign | {kept}
    assert unfinished(ledger) == 0
    assert counts(purged(ledger)) == {}


def test_files_of_an_attempt_that_may_be_at_work_stay(ledger: Ledger) -> None:
    """Also those of an earlier attempt that died, until the inspection has ended."""
    job = ledger.inspection()["id"]
    database = ledger.context.database
    first = put(ledger, keys.of_artifact("default", job, 1, "a"))
    held = lease.claim(database, "w", 60)
    assert held is not None
    lease.give_up(database, held, "x", "x", retry_after_s=0)
    parts = ledger.context.store.begin_parts(keys.of_artifact("default", job, 2, "large"))
    assert counts(purged(ledger)) == {}
    assert first in lying(ledger)
    (second,) = finish(ledger, job, ["a"])
    wanted = {"unfinished uploads in parts": 1, "orphan objects": 1}
    assert counts(purged(ledger)) == wanted
    assert (first in lying(ledger), second in lying(ledger)) == (False, True)
    assert parts


def test_the_young_is_left_alone(ledger: Ledger) -> None:
    put(ledger, keys.of_upload("default", "upl_gone"))
    upload = open_upload(ledger)
    expire(ledger, upload)
    assert counts(purged(ledger, older_than_s=3600)) == {}
    assert counts(purged(ledger)) == {"expired uploads": 1, "orphan objects": 1}


def test_expired_keys_go(ledger: Ledger) -> None:
    for number in range(3):
        headers = {"Idempotency-Key": f"k{number}"}
        ledger.api.post("/v1/uploads", json={"filename": "m", "size": 1}, headers=headers)
    with ledger.context.database.begin() as session:
        old = update(IdempotencyKey).where(IdempotencyKey.key != "k1")
        session.execute(old.values(created_at=utcnow() - timedelta(hours=25)))
    assert counts(purged(ledger, dry_run=True)) == {"expired idempotency keys": 2}
    assert counts(purged(ledger)) == {"expired idempotency keys": 2}
    with ledger.context.database.read() as session:
        assert list(session.scalars(select(IdempotencyKey.key))) == ["k1"]


def test_more_than_a_batch_goes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    now = utcnow()
    monkeypatch.setattr(rows, "_BATCH", 10)
    monkeypatch.setattr(orphans, "_BATCH", 10)
    for number in range(15):
        put(ledger, keys.of_upload("default", f"upl_gone{number}"))
    with ledger.context.database.begin() as session:
        for number in range(25):
            session.add(
                Upload(
                    id=f"upl_{number:032x}", filename="m", size=1, part_bytes=1,
                    storage_key=f"tenants/default/uploads/{number}",
                    expires_at=now - timedelta(seconds=5),
                )
            )  # fmt: skip
            session.add(
                IdempotencyKey(
                    tenant="default", key=f"k{number}", fingerprint="f", status=201, headers={},
                    body={}, created_at=now - timedelta(days=2),
                )
            )  # fmt: skip
    for dry_run in (True, False):
        tally = purged(ledger, dry_run=dry_run)
        wanted = {"expired uploads": 25, "expired idempotency keys": 25, "orphan objects": 15}
        assert counts(tally) == wanted
    assert counts(purged(ledger)) == {}


def test_uploads_are_kept_unless_told_otherwise(ledger: Ledger) -> None:
    ended, needed, probes, labelled, pairs, young = (
        ledger.upload(DATA + bytes([n]))["id"] for n in range(6)
    )
    ledger.api.post(f"/v1/inspections/{ledger.inspection(ended)['id']}/cancel")
    pictures = {"probes": probes, "labelled": labelled, "pairs": pairs}
    waiting = ledger.inspection(needed, repair=True, **pictures)["id"]
    with ledger.context.database.begin() as session:
        old = update(Upload).where(Upload.id != young)
        session.execute(old.values(completed_at=utcnow() - timedelta(days=2)))
    assert counts(purged(ledger)) == {}
    ledger.settings.retain_uploads_s = 86400
    assert counts(purged(ledger, dry_run=True)) == {"retired uploads": 1}
    assert counts(purged(ledger)) == {"retired uploads": 1}
    assert len(lying(ledger)) == 5
    seen = ledger.api.get(f"/v1/uploads/{ended}").json()
    assert (seen["status"], len(seen["sha256"]), seen["parts"]) == ("purged", 64, [])
    for body, status, code in (
        ({"upload_id": ended}, 409, "upload_purged"),
        ({"sha256": seen["sha256"]}, 404, "not_found"),
    ):
        wish = body | {"backbone": "pocket", "classes": ["a", "b"]}
        answer = ledger.api.post("/v1/inspections", json=wish)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ledger.api.post(f"/v1/uploads/{ended}/complete").json()["code"] == "upload_purged"
    ledger.api.post(f"/v1/inspections/{waiting}/cancel")
    assert counts(purged(ledger)) == {"retired uploads": 4}


def test_purging_beside_everything_loses_nothing(ledger: Ledger) -> None:
    """Uploads, completes and attempts while purgers without any grace go round and round."""
    stop = threading.Event()
    troubles: list[str] = []

    def sweep() -> None:
        while not stop.is_set():
            tally = purge(
                ledger.context.database, ledger.context.store,
                Order.of(ledger.settings, older_than_s=0),
            )  # fmt: skip
            troubles.extend(f"{step}: {why}" for step, why in tally.faults.items())

    def work(number: int) -> None:
        for turn in range(8):
            data = os.urandom(1000 + number)
            stored = ledger.upload(data)["id"]
            with one_job:
                job = ledger.inspection(stored)["id"]
                (kept,) = finish(ledger, job, ["a"])
            if ledger.stored_bytes(stored) != data or kept not in lying(ledger):
                troubles.append(f"{number}/{turn}")

    one_job = threading.Lock()
    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in (*sweepers, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    for thread in sweepers:
        thread.join()
    assert troubles == []
    assert len(lying(ledger)) == 48
    with ledger.context.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Inspection)) == 24


def test_workers_take_turns_and_say_what_went(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    put(ledger, keys.of_upload("default", "upl_gone"))
    settings = ledger.settings.model_copy(update={"purge_grace_s": 0})
    context = ledger.context

    def worker() -> Purger:
        return Purger(settings, context.database, context.store, threading.Event())

    with caplog.at_level(logging.INFO, "clipvet.purge"):
        for purger in (worker(), worker(), worker()):
            purger.run_when_due()
        assert caplog.messages == [f"purged 1 orphan objects, {len(DATA)} bytes"]
        put(ledger, keys.of_upload("default", "upl_gone"))
        worker().run_when_due()
        assert len(lying(ledger)) == 1
        for due in (utcnow() - timedelta(seconds=1), utcnow() + timedelta(days=300)):
            put(ledger, keys.of_upload("default", "upl_gone"))
            with context.database.begin() as session:
                session.execute(update(Chore).values(due_at=due))
            worker().run_when_due()
            assert lying(ledger) == set()


def test_shutting_down_cuts_a_purge_short(ledger: Ledger) -> None:
    stop = threading.Event()
    stop.set()
    put(ledger, keys.of_upload("default", "upl_gone"))
    expire(ledger, open_upload(ledger))
    assert counts(purged(ledger, stop=stop)) == {}
    assert len(lying(ledger)) == 1


def test_half_written_files_of_the_dead_go_and_folders_with_them(tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path))
    root = tmp_path / "store"
    job = ledger.inspection()["id"]
    for owner in ("insp_gone", job):
        folder = root / f"tenants/default/inspections/{owner}/1"
        folder.mkdir(parents=True)
        (folder / f"a.{'0' * 32}.partial").write_bytes(DATA)
    assert counts(purged(ledger)) == {"orphan objects": 1}
    inspections = root / "tenants/default/inspections"
    assert [path.name for path in inspections.iterdir()] == [job]
    ledger.close()


def test_writing_beside_the_pruning_of_folders(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    troubles: list[BaseException] = []

    def work(number: int) -> None:
        source = tmp_path / f"source{number}"
        source.write_bytes(DATA)
        try:
            for _ in range(200):
                store.put(f"tenants/t/inspections/insp_1/1/{number}", source)
                store.delete(f"tenants/t/inspections/insp_1/1/{number}")
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert not (tmp_path / "store" / "tenants").exists()


def run_command(ledger: Ledger, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = ledger.settings
    environment = {
        "CLIPVET_DATA_DIR": str(settings.data_dir),
        "CLIPVET_DATABASE_URL": settings.resolved_database_url,
    }
    if settings.store_url is not None:
        environment |= {
            "CLIPVET_STORE_URL": settings.store_url,
            "CLIPVET_S3_ENDPOINT_URL": settings.s3_endpoint_url or "",
            "CLIPVET_S3_ACCESS_KEY": "test",
            "CLIPVET_S3_SECRET_KEY": "test",
        }
    command = [sys.executable, "-m", "app", "purge", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_the_command_shows_and_deletes(ledger: Ledger) -> None:
    orphan = put(ledger, keys.of_upload("default", "upl_gone"))
    shown = run_command(ledger, "--dry-run", "--older-than", "0", "--format", "json")
    told = json.loads(shown.stdout)
    assert told["items"] == [{"kind": "orphan objects", "name": orphan, "bytes": len(DATA)}]
    assert (told["dry_run"], told["faults"], lying(ledger)) == (True, {}, {orphan})
    table = run_command(ledger, "--older-than", "0")
    assert table.returncode == 0
    assert f"orphan objects{1:>24}{len(DATA):>16}" in table.stdout
    assert lying(ledger) == set()


def test_a_store_that_is_away_is_told(tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path))
    away = Settings(
        data_dir=tmp_path, store_url="s3://bucket", s3_endpoint_url="http://127.0.0.1:9"
    )
    broken = Ledger(away)
    ended = run_command(broken, "--format", "json")
    assert ended.returncode == 2
    assert set(json.loads(ended.stdout)["faults"]) == {"orphan_parts", "orphan_objects"}
    broken.close()
    ledger.close()
