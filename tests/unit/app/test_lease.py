"""Leases: one holder, a fence against the dead, a reaper, and an end for poison jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.db.base import utcnow
from app.inspections import lease
from app.models import Artifact, Dispatch, Inspection, Report, Status
from tests.support.ledger import Ledger

OUTCOME = lease.Outcome("clean", "{}", "0" * 64, {}, [])


def claim(ledger: Ledger, owner: str = "w1", **options: Any) -> lease.Claim:
    held = lease.claim(ledger.context.database, owner, 60, **options)
    assert held is not None
    return held


def change(ledger: Ledger, **values: Any) -> None:
    with ledger.context.database.begin() as session:
        session.execute(update(Inspection).values(**values))


def long_ago() -> Any:
    return utcnow() - timedelta(seconds=1)


def test_a_job_is_claimed_once(ledger: Ledger) -> None:
    row = ledger.inspection()
    held = claim(ledger)
    assert (held.inspection_id, held.attempt) == (row["id"], 1)
    assert lease.claim(ledger.context.database, "w2", 60) is None
    assert ledger.get(row["id"])["status"] == "validating"


def test_many_workers_share_the_queue_without_overlap(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    ids = {ledger.inspection(upload["id"], seed=seed)["id"] for seed in range(8)}
    taken: list[str] = []

    def work(owner: str) -> None:
        while held := lease.claim(ledger.context.database, owner, 60):
            taken.append(held.inspection_id)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 8
    assert set(taken) == ids


def test_the_oldest_comes_first_unless_one_is_named(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    first, second, third = (ledger.inspection(upload["id"], seed=n)["id"] for n in range(3))
    assert claim(ledger, inspection_id=second).inspection_id == second
    assert claim(ledger).inspection_id == first
    assert claim(ledger).inspection_id == third


def test_finish_writes_everything_once(ledger: Ledger) -> None:
    row = ledger.inspection()
    held = claim(ledger)
    artifact = Artifact(
        inspection_id=row["id"], name="a.png", storage_key="k", sha256="0", size=1, media_type="x"
    )
    outcome = lease.Outcome("backdoored", '{"a":1}', "0" * 64, {"score": 2.0}, [artifact])
    lease.finish(ledger.context.database, held, outcome)
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["verdict"], seen["result"]) == ("succeeded", "backdoored", "fail")
    assert (seen["progress"], seen["summary"]) == (1.0, {"score": 2.0})
    report = ledger.api.get(f"/v1/inspections/{row['id']}/report.json")
    assert report.text == '{"a":1}'
    with pytest.raises(lease.LeaseLost):
        lease.finish(ledger.context.database, held, OUTCOME)


def test_a_worker_that_lost_its_lease_can_change_nothing(ledger: Ledger) -> None:
    row = ledger.inspection()
    database = ledger.context.database
    zombie = claim(ledger, "zombie")
    change(ledger, lease_until=long_ago())
    assert lease.reap(database) == 1
    heir = claim(ledger, "heir")
    assert heir.attempt == 2
    progress = lease.Progress("x", 0.5, None, "")
    steps: list[Callable[[], None]] = [
        lambda: lease.extend(database, zombie, 60),
        lambda: lease.report_progress(database, zombie, progress, running=True, as_event=True),
        lambda: lease.finish(database, zombie, OUTCOME),
        lambda: lease.give_up(database, zombie, "x", "x", retry_after_s=0),
        lambda: lease.release(database, zombie),
    ]
    for step in steps:
        with pytest.raises(lease.LeaseLost):
            step()
    lease.finish(database, heir, OUTCOME)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Report)) == 1
    assert ledger.get(row["id"])["attempt"] == 2


def test_the_same_worker_is_fenced_from_its_own_earlier_attempt(ledger: Ledger) -> None:
    ledger.inspection()
    first = claim(ledger, "w1")
    change(ledger, lease_until=long_ago())
    lease.reap(ledger.context.database)
    claim(ledger, "w1")
    with pytest.raises(lease.LeaseLost):
        lease.finish(ledger.context.database, first, OUTCOME)


def test_a_job_that_kills_every_worker_fails(ledger: Ledger) -> None:
    row = ledger.inspection()
    for attempt in (1, 2, 3):
        assert claim(ledger).attempt == attempt
        change(ledger, lease_until=long_ago())
        lease.reap(ledger.context.database)
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["error"]["code"]) == ("failed", "worker_lost")
    assert seen["verdict"] is None


def test_the_reaper_leaves_living_leases_alone(ledger: Ledger) -> None:
    ledger.inspection()
    claim(ledger, "box/1/alive")
    database = ledger.context.database
    assert lease.reap(database) == 0
    assert lease.reap(database, dead_owner=lambda owner: owner.startswith("other/")) == 0
    assert lease.reap(database, dead_owner=lambda owner: owner.startswith("box/1/")) == 1


def test_faults_are_tried_again_and_then_final(ledger: Ledger) -> None:
    row = ledger.inspection()
    for _ in range(3):
        lease.give_up(ledger.context.database, claim(ledger), "crash", "boom", retry_after_s=0)
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["error"]) == ("failed", {"code": "crash", "message": "boom"})


def test_a_fault_without_hope_is_final_at_once(ledger: Ledger) -> None:
    row = ledger.inspection()
    lease.give_up(ledger.context.database, claim(ledger), "gone", "boom", retry_after_s=None)
    assert ledger.get(row["id"])["status"] == "failed"


def test_a_retry_waits_its_time(ledger: Ledger) -> None:
    ledger.inspection()
    lease.give_up(ledger.context.database, claim(ledger), "crash", "boom", retry_after_s=60)
    assert lease.claim(ledger.context.database, "w", 60) is None


def test_a_worker_in_good_order_costs_no_attempt(ledger: Ledger) -> None:
    row = ledger.inspection()
    for _ in range(5):
        lease.release(ledger.context.database, claim(ledger))
    assert ledger.get(row["id"])["status"] == "queued"


def test_cancel_of_a_running_job_reaches_its_worker(ledger: Ledger) -> None:
    row = ledger.inspection()
    held = claim(ledger)
    seen = ledger.api.post(f"/v1/inspections/{row['id']}/cancel").json()
    assert (seen["status"], seen["cancel_requested"]) == ("validating", True)
    with pytest.raises(lease.StopRequested) as caught:
        lease.extend(ledger.context.database, held, 60)
    lease.stop(ledger.context.database, held, caught.value)
    assert ledger.get(row["id"])["status"] == "canceled"


def test_cancel_wins_over_the_death_of_the_worker(ledger: Ledger) -> None:
    row = ledger.inspection()
    claim(ledger)
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    change(ledger, lease_until=long_ago())
    lease.reap(ledger.context.database)
    assert ledger.get(row["id"])["status"] == "canceled"


def test_the_deadline_expires_waiting_and_running_jobs(ledger: Ledger) -> None:
    running = ledger.inspection()
    held = claim(ledger)
    waiting = ledger.inspection()
    change(ledger, deadline_at=long_ago())
    with pytest.raises(lease.StopRequested) as caught:
        lease.extend(ledger.context.database, held, 60)
    lease.stop(ledger.context.database, held, caught.value)
    assert lease.claim(ledger.context.database, "w", 60) is None
    lease.reap(ledger.context.database)
    assert {ledger.get(row["id"])["status"] for row in (running, waiting)} == {"expired"}


def test_a_lost_wake_up_is_renewed_once(ledger: Ledger) -> None:
    ledger.inspection()
    database = ledger.context.database
    with database.begin() as session:
        for row in session.scalars(select(Dispatch)):
            session.delete(row)
    lease.redispatch_oldest(database, waiting_s=60)
    with database.read() as session:
        assert list(session.scalars(select(Dispatch))) == []
    for _ in range(2):
        lease.redispatch_oldest(database, waiting_s=0)
    with database.read() as session:
        assert len(list(session.scalars(select(Dispatch)))) == 1


def test_history_has_no_gaps(ledger: Ledger) -> None:
    row = ledger.inspection()
    held = claim(ledger)
    for step in range(3):
        progress = lease.Progress("invert", step / 3, 1.0, f"step {step}")
        lease.report_progress(
            ledger.context.database, held, progress, running=True, as_event=step != 1
        )
    lease.finish(ledger.context.database, held, OUTCOME)
    events = ledger.api.get(f"/v1/inspections/{row['id']}/events").json()["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["message"] for event in events][2:] == ["step 0", "step 2", "verdict: clean"]
    assert events[-1]["status"] == Status.SUCCEEDED
