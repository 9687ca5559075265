"""``Idempotency-Key`` (IETF draft): a repeated POST gets the first answer and does nothing.

The key's row and the work are one transaction, so a crash or a failed request leaves neither (as
with Stripe) and the request can be repeated at once. While it runs, the database itself knows that
the key is taken: on PostgreSQL by an advisory lock, which ends with the transaction and answers a
second request with 409; SQLite has one writer, so a second request waits and is answered like the
first. Keys live 24 hours per tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from app.db import clock
from app.db.base import DEFAULT_TENANT
from app.db.session import Database
from app.errors import Conflict, Unprocessable
from app.models import IdempotencyKey


@dataclass(frozen=True, slots=True)
class Answer:
    """What a POST answers."""

    status: int
    body: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        """The answer as it is sent; the ledger keeps the same body and status."""
        return JSONResponse(self.body.model_dump(mode="json"), self.status, dict(self.headers))


class Idempotency:
    """One request's view of its key; without a key it merely runs the work in a transaction."""

    def __init__(self, database: Database, key: str | None, route: str, ttl_s: float) -> None:
        self._database = database
        self._key = key
        self._route = route
        self._ttl = timedelta(seconds=ttl_s)

    def answer(self, body: BaseModel, work: Callable[[Session], Answer]) -> JSONResponse:
        """Run ``work`` once per key and body.

        Raises:
            Conflict: the first request with this key is still at work.
            Unprocessable: the key was used for another request.
        """
        with self._database.begin() as session:
            if self._key is None:
                return work(session).response()
            asked = f"{self._route}\n{body.model_dump_json()}".encode()
            fingerprint = hashlib.sha256(asked).hexdigest()
            _take(session, self._key)
            replay = self._replay(session, self._key, fingerprint)
            if replay is not None:
                return replay
            answer = work(session)
            _record(session, self._key, fingerprint, answer)
        return answer.response()

    def _replay(self, session: Session, key: str, fingerprint: str) -> JSONResponse | None:
        row = session.get(IdempotencyKey, (DEFAULT_TENANT, key), with_for_update=True)
        if row is None:
            return None
        if row.created_at < clock.now(session) - self._ttl:
            session.delete(row)
            session.flush()
            return None
        if row.fingerprint != fingerprint:
            raise Unprocessable(
                "this Idempotency-Key was used for another request",
                code="idempotency_key_reused",
            )
        return JSONResponse(row.body, row.status, row.headers | {"Idempotent-Replayed": "true"})


def _take(session: Session, key: str) -> None:
    """Keep the key until the transaction ends. Raises ``Conflict`` where another one has it."""
    if session.get_bind().dialect.name != "postgresql":
        return
    digest = hashlib.sha256(f"idempotency\n{DEFAULT_TENANT}\n{key}".encode()).digest()
    number = int.from_bytes(digest[:8], signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise Conflict(
            "a request with this Idempotency-Key is still at work", code="idempotency_in_flight"
        )


def _record(session: Session, key: str, fingerprint: str, answer: Answer) -> None:
    session.add(
        IdempotencyKey(
            tenant=DEFAULT_TENANT,
            key=key,
            fingerprint=fingerprint,
            status=answer.status,
            headers=dict(answer.headers),
            body=answer.body.model_dump(mode="json"),
            created_at=clock.now(session),
        )
    )
