"""Two real workers, both databases: whatever poisons or stalls one delivery holds up no other."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url, select

from app.db.base import utcnow
from app.db.ids import new_id
from app.db.migrate import upgrade
from app.db.session import Database
from app.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.settings import Settings
from app.storage import open_store
from app.webhooks import service
from app.webhooks.signing import new_secret
from tests.support.ledger import settings_in
from tests.support.outbox import take_any
from tests.support.receiver import Receiver, plain
from tests.support.servers import new_database, shared_servers, wait_for
from worker.housekeeping import Housekeeping
from worker.runner import Runner

POISON, TAR_PITS, EVENTS, TRIES = 80, 6, 40, 3
WITHIN_S = 4.0
"""Less than one attempt may take, so that nobody can have waited for a tar-pit's end."""
SECRET = new_secret()


def settings_for(folder: Path, **changes: Any) -> Settings:
    values = {
        "webhook_allow_http": True,
        "webhook_allow_cidrs": ["127.0.0.0/8"],
        "webhook_timeout_s": 6,
        "webhook_retry_s": [0.2] * TRIES,
        "housekeeping_s": 0.5,
    }
    return settings_in(folder, **values | changes)


def add(database: Database, url: str, due: list[datetime], **odd: str) -> list[str]:
    """An endpoint with one delivery for each moment, as rows; the ids of the deliveries."""
    endpoint = WebhookEndpoint(
        id=new_id("whe"), url=url, events=[], secret=odd.get("secret", SECRET)
    )
    made = [
        WebhookDelivery(
            id=new_id("del"), endpoint_id=endpoint.id, event_id=new_id("evt") + odd.get("event", ""),
            event_type="inspection.completed", payload="{}", next_attempt_at=moment,
        )
        for moment in due
    ]  # fmt: skip
    with database.begin() as session:
        session.add(endpoint)
        session.flush()
        session.add_all(made)
    return [row.id for row in made]


@contextmanager
def workers(database: Database, settings: Settings, count: int) -> Iterator[None]:
    """The housekeeping of so many workers, stopped as a worker stops it."""
    runners = [
        Runner(settings, database, open_store(settings), f"w{number}") for number in range(count)
    ]
    every = [Housekeeping(runner, None) for runner in runners]
    for one in every:
        one.start()
    try:
        yield
    finally:
        for runner in runners:
            runner.close()
        for one in every:
            one.stop()


def silent(request: BaseHTTPRequestHandler) -> None:
    """Accepts, reads, never answers."""
    time.sleep(60)


def dripping(request: BaseHTTPRequestHandler) -> None:
    """Answers a byte at a time and never ends its first header."""
    try:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            request.wfile.write(b"x")
            time.sleep(0.2)
    except OSError:
        pass


def poison(url: str, number: int) -> tuple[str, dict[str, str]]:
    """A row that raises before or while its request is built: a URL and what else is odd."""
    odd: list[tuple[str, dict[str, str]]] = [
        ("https://☃.invalid/", {}),
        (f"https://{'ä' * 80}.invalid/", {}),
        ("https://[::1", {}),
        ("http://example.org:99999/", {}),
        ("", {}),
        (url, {"secret": "hunter2"}),
        (url, {"secret": "whsec_é"}),
        (url, {"event": "ü"}),
    ]
    return odd[number % len(odd)]


def attempts_of(database: Database, deliveries: list[str]) -> dict[str, list[WebhookAttempt]]:
    found = defaultdict(list)
    with database.read() as session:
        for row in session.scalars(
            select(WebhookAttempt)
            .where(WebhookAttempt.delivery_id.in_(deliveries))
            .order_by(WebhookAttempt.id)
        ):
            found[row.delivery_id].append(row)
    return found


def rows_of(database: Database, deliveries: list[str]) -> list[WebhookDelivery]:
    with database.read() as session:
        return list(
            session.scalars(select(WebhookDelivery).where(WebhookDelivery.id.in_(deliveries)))
        )


def test_poison_and_tar_pits_hold_up_nobody(database: Database, tmp_path: Path) -> None:
    arrived: defaultdict[str, list[datetime]] = defaultdict(list)

    def healthy(request: BaseHTTPRequestHandler) -> None:
        arrived[request.headers["webhook-id"]].append(utcnow())
        plain(204)(request)

    long_ago = utcnow() - timedelta(hours=1)
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(healthy))
        pits = [
            stack.enter_context(Receiver(silent if number % 2 else dripping))
            for number in range(TAR_PITS)
        ]
        bad = [
            name
            for number in range(POISON)
            for url, odd in [poison(f"{receiver.url}/poison", number)]
            for name in add(database, url, [long_ago], **odd)
        ]
        # Each inspection may bring an endpoint of its own to the same receiver.
        slow = [
            name for pit in pits for _ in range(5) for name in add(database, pit.url, [long_ago])
        ]
        now = utcnow()
        due = [now + timedelta(seconds=0.1 * number) for number in range(EVENTS)]
        good = add(database, receiver.url, due)
        with workers(database, settings_for(tmp_path), 2):
            wait_for("all events", lambda: len(arrived) == EVENTS, 20)
            wait_for(
                "the end of the poison",
                lambda: all(row.status == "failed" for row in rows_of(database, bad)),
                20,
            )
        pit_calls = [len(pit.received) for pit in pits]

    told = {row.event_id: row for row in rows_of(database, good)}
    assert {row.status for row in told.values()} == {"delivered"}
    assert {len(times) for times in arrived.values()} == {1}
    late = [
        (arrived[row.event_id][0] - moment).total_seconds()
        for row, moment in zip(rows_in_order(told, good), due, strict=True)
    ]
    assert max(late) < WITHIN_S, late
    logged = attempts_of(database, bad)
    assert {len(rows) for rows in logged.values()} == {TRIES}
    assert len(logged) == POISON
    assert all(row.error and row.status_code is None for rows in logged.values() for row in rows)
    assert not any(got.path.endswith("/poison") for got in receiver.received)
    # Stopping has waited for the tar-pits, so that these attempts are known, too.
    stalled = [row for rows in attempts_of(database, slow).values() for row in rows]
    assert len(stalled) == sum(pit_calls) >= TAR_PITS
    assert all("Timeout" in (row.error or "") for row in stalled)
    assert all(row.lease_until is None for row in rows_of(database, slow + bad + good))


def rows_in_order(told: dict[str, WebhookDelivery], names: list[str]) -> list[WebhookDelivery]:
    by_name = {row.id: row for row in told.values()}
    return [by_name[name] for name in names]


def test_endpoints_of_one_receiver_take_turns(database: Database, tmp_path: Path) -> None:
    now = utcnow()
    with Receiver() as receiver:
        many = add(database, receiver.url, [now - timedelta(hours=1)] * 60)
        (one,) = add(database, receiver.url, [now])
        with workers(database, settings_for(tmp_path), 1):
            wait_for("all", lambda: len(receiver.received) == len(many) + 1)
    (row,) = rows_of(database, [one])
    order = [got.headers["webhook-id"] for got in receiver.received]
    assert order.index(row.event_id) < 10


def test_a_crowd_that_never_answers_leaves_senders_to_those_who_do(
    database: Database, tmp_path: Path
) -> None:
    """More silent receivers than senders: a worker that knows nobody yet, and one that does."""
    settings = settings_for(tmp_path, webhook_senders=8, webhook_timeout_s=3)
    with Receiver() as receiver, Receiver(silent) as crowd:
        for number in range(30):
            add(database, f"{crowd.url}/{number}", [utcnow() - timedelta(hours=1)])
        add(database, receiver.url, [utcnow()])
        begun = time.monotonic()
        with workers(database, settings, 1):
            wait_for("the first event", lambda: len(receiver.received) == 1)
            assert time.monotonic() - begun < 2
            wait_for("the crowd", lambda: len(crowd.received) >= 6)
            add(database, receiver.url, [utcnow()])
            begun = time.monotonic()
            wait_for("the second event", lambda: len(receiver.received) == 2)
            assert time.monotonic() - begun < 1.5


def test_what_a_stranger_wrote_can_be_recorded(database: Database) -> None:
    add(database, "https://example.org/", [utcnow()])
    due = take_any(database)
    assert due is not None
    now = utcnow()
    ugly = service.AttemptResult(now, now, None, None, "\x00 \ud800" + "é" * 300, "\x00\udfff")
    service.record_attempt(database, due, ugly, [0, 5])
    (row,) = attempts_of(database, [due.delivery_id])[due.delivery_id]
    assert (row.error or "").startswith(" \\ud800é")
    assert row.response_excerpt == "\\udfff"


def test_contenders_never_hold_one_delivery_at_the_same_time(database: Database) -> None:
    """Many rows of one endpoint, failing at once and due again at once, eight takers."""
    add(database, "https://example.org/", [utcnow()] * 5)
    held: set[str] = set()
    doubled: list[str] = []
    guard = threading.Lock()

    def work() -> None:
        for _ in range(15):
            due = take_any(database)
            if due is None:
                continue
            with guard:
                (doubled.append if due.delivery_id in held else held.add)(due.delivery_id)
            time.sleep(0.005)
            now = utcnow()
            result = service.AttemptResult(now, now, None, 500, None)
            with guard:
                held.discard(due.delivery_id)
            service.record_attempt(database, due, result, [0] * 100)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert doubled == []
    with database.read() as session:
        counts = session.scalars(select(WebhookDelivery.attempts)).all()
        logged = session.scalars(select(WebhookAttempt.id)).all()
    assert sum(counts) == len(logged) > 5


@contextmanager
def away(url: str) -> Iterator[None]:
    """A PostgreSQL database that ends all its connections and takes no new one."""
    parts = make_url(url)
    server = parts.set(drivername="postgresql", database="postgres")
    name = parts.database
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname=%s", [name]
        )
        try:
            yield
        finally:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def test_a_database_that_is_away_costs_no_record_and_no_repeat(tmp_path: Path) -> None:
    answering = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        answering.set()
        time.sleep(0.5)
        plain(204)(request)

    url = new_database(shared_servers().postgres)
    settings = settings_for(tmp_path, database_url=url)
    database = Database(settings.resolved_database_url)
    upgrade(database)
    with Receiver(slow) as receiver:
        (name,) = add(database, receiver.url, [utcnow()])
        with workers(database, settings, 1):
            assert answering.wait(10)
            with away(url):
                time.sleep(1.5)
            wait_for("the record", lambda: rows_of(database, [name])[0].status == "delivered")
        assert len(receiver.received) == 1
    assert len(attempts_of(database, [name])[name]) == 1
    database.close()
