"""Wake-ups on a real Redis: sent once, never piled up; what they are about does not depend on them."""

from __future__ import annotations

import json

import pytest
import redis
from kombu.exceptions import OperationalError
from sqlalchemy import select

from app.db.session import Database
from app.inspections import lease
from app.models import Dispatch
from tests.service.test_databases import add_jobs
from tests.support.servers import redis_server
from worker.celery_app import INSPECT_TASK, make_celery
from worker.housekeeping import relay

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def waiting(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Dispatch.inspection_id)))


def test_wake_ups_are_sent_and_forgotten(database: Database) -> None:
    ids = add_jobs(database, 3)
    with redis_server() as url:
        assert relay(database, make_celery(url)) == 3
        messages = [json.loads(raw) for raw in redis.Redis.from_url(url).lrange("inspect", 0, -1)]
    assert waiting(database) == []
    assert {message["headers"]["task"] for message in messages} == {INSPECT_TASK}
    assert sorted(json.loads(m["headers"]["argsrepr"].replace("'", '"'))[0] for m in messages) == (
        sorted(ids)
    )


def test_a_broker_that_is_away_finds_no_backlog_later(database: Database) -> None:
    ids = add_jobs(database, 2)
    with pytest.raises(OperationalError):
        relay(database, make_celery("redis://127.0.0.1:9/0"))
    assert waiting(database) == []
    claimed = [lease.claim(database, "w", 60) for _ in ids]
    assert [held.inspection_id for held in claimed if held] == ids


def test_without_a_broker_wake_ups_are_only_forgotten(database: Database) -> None:
    add_jobs(database, 1)
    assert relay(database, None) == 1
    assert waiting(database) == []
