"""Leases: one holder, a fence against the dead, and attempts that only the job itself can spend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.db.base import utcnow
from app.inspections import lease
from app.inspections.reaper import Reaper
from app.models import Artifact, Dispatch, Inspection, Report, Status
from tests.support.ledger import Ledger

OUTCOME = lease.Outcome("clean", "{}", "0" * 64, {}, [])


def claim(ledger: Ledger, owner: str = "w1") -> lease.Claim:
    held = lease.claim(ledger.context.database, owner, 60)
    assert held is not None
    return held


def reaper(ledger: Ledger, losses_allowed: int = 10, watch_s: float = 0) -> Reaper:
    return Reaper(ledger.context.database, losses_allowed, watch_s)


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


def test_what_has_waited_longest_comes_first(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    first, second, third = (ledger.inspection(upload["id"], seed=n)["id"] for n in range(3))
    assert claim(ledger).inspection_id == first
    lease.release(ledger.context.database, claim(ledger), "not now", after_s=60)
    assert claim(ledger).inspection_id == third
    change(ledger, not_before=long_ago())
    assert claim(ledger).inspection_id == second


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
    assert reaper(ledger).reap() == 1
    heir = claim(ledger, "heir")
    assert heir.attempt == 2
    progress = lease.Progress("x", 0.5, None, "")
    steps: list[Callable[[], None]] = [
        lambda: lease.extend(database, zombie, 60),
        lambda: lease.report_progress(database, zombie, progress, running=True, as_event=True),
        lambda: lease.finish(database, zombie, OUTCOME),
        lambda: lease.give_up(database, zombie, "x", "x", retry_after_s=0),
        lambda: lease.release(database, zombie, "x"),
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
    reaper(ledger).reap()
    claim(ledger, "w1")
    with pytest.raises(lease.LeaseLost):
        lease.finish(ledger.context.database, first, OUTCOME)


def lose(ledger: Ledger, reaps: Reaper) -> None:
    """The worker of the running attempt dies, and the next one need not wait."""
    change(ledger, lease_until=long_ago())
    assert reaps.reap() == 1
    change(ledger, not_before=None)


def test_a_job_that_kills_every_worker_fails_in_the_end(ledger: Ledger) -> None:
    row = ledger.inspection()
    reaps = reaper(ledger, losses_allowed=4)
    for attempt in range(1, 6):
        assert claim(ledger).attempt == attempt
        lose(ledger, reaps)
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["error"]["code"]) == ("failed", "worker_lost")
    assert seen["verdict"] is None


def test_a_job_that_lost_workers_lets_others_pass(ledger: Ledger) -> None:
    unlucky, other = ledger.inspection()["id"], ledger.inspection()["id"]
    reaps = reaper(ledger)
    for _ in range(2):
        assert claim(ledger).inspection_id == unlucky
        change(ledger, lease_until=long_ago())
        assert reaps.reap() == 1
    assert claim(ledger).inspection_id == other


def test_lost_workers_are_none_of_the_job_s_attempts(ledger: Ledger) -> None:
    row = ledger.inspection()
    database, reaps = ledger.context.database, reaper(ledger)
    for _ in range(2):
        claim(ledger)
        lose(ledger, reaps)
        lease.give_up(database, claim(ledger), "crash", "boom", retry_after_s=0)
        lease.release(database, claim(ledger), "the object store does not answer")
    assert ledger.get(row["id"])["status"] == "queued"
    lease.give_up(database, claim(ledger), "crash", "boom", retry_after_s=0)
    assert ledger.get(row["id"])["status"] == "failed"


def test_the_reaper_leaves_living_leases_alone(ledger: Ledger) -> None:
    ledger.inspection()
    claim(ledger, "box/1/alive")
    reaps = reaper(ledger)
    assert reaps.reap() == 0
    assert reaps.reap(is_dead=lambda owner: owner.startswith("other/")) == 0
    assert reaps.reap(is_dead=lambda owner: owner.startswith("box/1/")) == 1


def test_a_lapsed_lease_is_watched_before_it_is_lost(ledger: Ledger) -> None:
    ledger.inspection()
    held = claim(ledger)
    reaps = reaper(ledger, watch_s=0.2)
    change(ledger, lease_until=long_ago())
    assert reaps.reap() == 0
    # As after an outage: the living extend theirs as soon as they can, and are left alone.
    lease.extend(ledger.context.database, held, 60)
    time.sleep(0.25)
    assert reaps.reap() == 0
    change(ledger, lease_until=long_ago())
    assert reaps.reap() == 0
    change(ledger, lease_until=long_ago())
    time.sleep(0.25)
    assert reaps.reap() == 0
    time.sleep(0.25)
    assert reaps.reap() == 1


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
        lease.release(ledger.context.database, claim(ledger), "shutting down")
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
    reaper(ledger).reap()
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
    reaper(ledger).reap()
    assert {ledger.get(row["id"])["status"] for row in (running, waiting)} == {"expired"}


def test_a_wake_up_is_written_for_what_is_due_at_once(ledger: Ledger) -> None:
    ledger.inspection()
    database = ledger.context.database

    def waiting() -> int:
        with database.read() as session:
            return session.scalar(select(func.count()).select_from(Dispatch)) or 0

    assert waiting() == 1
    lease.release(database, claim(ledger), "shutting down")
    assert waiting() == 2
    lease.give_up(database, claim(ledger), "crash", "boom", retry_after_s=60)
    assert waiting() == 2


def test_a_clock_that_was_set_back_delays_nobody(ledger: Ledger) -> None:
    ledger.inspection()
    lease.give_up(ledger.context.database, claim(ledger), "crash", "boom", retry_after_s=60)
    an_hour_ahead = utcnow() + timedelta(hours=1, seconds=60)
    change(ledger, not_before=an_hour_ahead)
    claim(ledger, "dead")
    change(ledger, lease_until=an_hour_ahead)
    assert reaper(ledger).reap() == 1


def test_history_has_no_gaps(ledger: Ledger) -> None:
    row = ledger.inspection()
    held = claim(ledger)
    for step in range(3):
        progress = lease.Progress("inversion", step / 3, 1.0, f"step {step}")
        lease.report_progress(
            ledger.context.database, held, progress, running=True, as_event=step != 1
        )
    lease.finish(ledger.context.database, held, OUTCOME)
    events = ledger.api.get(f"/v1/inspections/{row['id']}/events").json()["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["message"] for event in events][2:] == ["step 0", "step 2", "verdict: clean"]
    assert events[-1]["status"] == Status.SUCCEEDED
