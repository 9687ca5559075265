"""SQLite and PostgreSQL: same schema, same leases, same outbox, also under contention."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app.db import clock
from app.db.base import Base, utcnow
from app.db.migrate import _config, is_current, upgrade
from app.db.session import Database
from app.inspections import lease, service
from app.inspections.reaper import Reaper
from app.models import Chore, Dispatch, IdempotencyKey, Inspection, Report, Upload, WebhookDelivery
from app.webhooks import service as webhooks
from tests.support.outbox import take_any

OUTCOME = lease.Outcome("clean", "{}", "0" * 64, {}, [])


def add_jobs(database: Database, count: int) -> list[str]:
    with database.begin() as session:
        upload = Upload(
            id="upl_1", filename="m", size=1, part_bytes=1, status="stored", sha256="0" * 64,
            storage_key="k", expires_at=utcnow(),
        )  # fmt: skip
        session.add(upload)
        session.flush()
        new = service.NewInspection(upload, {"backbone": "b"}, {}, "suspicious", 60, 3, "")
        return [service.create(session, new).id for _ in range(count)]


def test_migrations_make_exactly_the_models(database: Database) -> None:
    with database.read() as session:
        assert is_current(session)
    upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_claims_of_dead_requests_do_not_survive_an_upgrade(database: Database) -> None:
    """Before 0002 a key was written before its work, without an answer."""
    columns = "INSERT INTO idempotency_keys (tenant, key, fingerprint, created_at, status) VALUES "
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        for key, status in (("claimed", "NULL"), ("answered", "201")):
            moment = "'2026-01-01 00:00:00'"
            row = f"('default', '{key}', 'f', {moment}, {status})"
            connection.exec_driver_sql(columns + row)
        body = "UPDATE idempotency_keys SET headers='{}', body='{}' WHERE status IS NOT NULL"
        connection.exec_driver_sql(body)
    upgrade(database)
    with database.read() as session:
        assert list(session.scalars(select(IdempotencyKey.key))) == ["answered"]
        assert session.get_one(Chore, "purge").due_at < utcnow()


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(Dispatch(inspection_id="insp_none"))


def test_times_come_back_as_they_went(database: Database) -> None:
    (identifier,) = add_jobs(database, 1)
    moment = utcnow()
    with database.begin() as session:
        session.get_one(Inspection, identifier).deadline_at = moment
    with database.read() as session:
        assert session.get_one(Inspection, identifier).deadline_at == moment


def test_contending_workers_claim_each_job_once(database: Database) -> None:
    ids = add_jobs(database, 12)
    taken: list[lease.Claim] = []

    def work(owner: str) -> None:
        while held := lease.claim(database, owner, 60):
            taken.append(held)
            lease.extend(database, held, 60)
            lease.finish(database, held, OUTCOME)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held.inspection_id for held in taken) == sorted(ids)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Report)) == 12


def test_contending_reapers_count_an_attempt_once(database: Database) -> None:
    (identifier,) = add_jobs(database, 1)
    assert lease.claim(database, "dead", 60)
    with database.begin() as session:
        session.execute(update(Inspection).values(lease_until=utcnow() - timedelta(seconds=1)))
    moved: list[int] = []

    def reap() -> None:
        moved.append(Reaper(database, losses_allowed=10, watch_s=0).reap())

    threads = [threading.Thread(target=reap) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 1
    held = lease.claim(database, "heir", 60)
    assert held is not None
    assert (held.inspection_id, held.attempt) == (identifier, 2)


def test_contending_deliverers_take_each_delivery_once(database: Database) -> None:
    with database.begin() as session:
        webhooks.add_endpoint(session, webhooks.NewEndpoint("https://example.org/"))
    for identifier in add_jobs(database, 6):
        with database.begin() as session:
            service.cancel(session, identifier)
    taken: list[str] = []

    def work() -> None:
        for _ in range(12):
            if due := take_any(database):
                taken.append(due.delivery_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert sorted(taken) == sorted(session.scalars(select(WebhookDelivery.id)))


def test_a_rolled_back_change_tells_nobody(database: Database) -> None:
    with database.begin() as session:
        webhooks.add_endpoint(session, webhooks.NewEndpoint("https://example.org/"))
    (identifier,) = add_jobs(database, 1)
    with pytest.raises(RuntimeError), database.begin() as session:
        service.cancel(session, identifier)
        raise RuntimeError
    assert take_any(database) is None
    with database.read() as session:
        assert session.get_one(Inspection, identifier).status == "queued"


def test_the_clock_of_decisions_goes_on_within_a_transaction(database: Database) -> None:
    with database.begin() as session:
        first = clock.now(session)
        second = clock.now(session)
    assert first.tzinfo is UTC
    assert first < second
    assert abs(second - utcnow()) < timedelta(seconds=5)
