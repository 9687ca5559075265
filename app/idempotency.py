"""``Idempotency-Key`` (IETF draft): a repeated POST gets the first answer and does nothing.

The key is claimed in a transaction of its own, so that a second request sees the first one at work
(409). The answer is recorded in the transaction that does the work, so that a crash leaves both or
neither. A failed request leaves nothing, as with Stripe. Keys live 24 hours per tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel
from sqlalchemy import CursorResult, delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from app.db.base import DEFAULT_TENANT, utcnow
from app.db.session import Database
from app.errors import Conflict, Unprocessable
from app.models import IdempotencyKey

_ABANDONED = timedelta(seconds=60)
"""A claim without an answer for so long belongs to a request that died."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a POST answers."""

    status: int
    body: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
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
        if self._key is None:
            with self._database.begin() as session:
                return work(session).response()
        fingerprint = hashlib.sha256(f"{self._route}\n{body.model_dump_json()}".encode())
        replay = self._claim(self._key, fingerprint.hexdigest())
        if replay is not None:
            return replay
        try:
            with self._database.begin() as session:
                answer = work(session)
                self._record(session, self._key, answer)
        except BaseException:
            self._release(self._key)
            raise
        return answer.response()

    def _claim(self, key: str, fingerprint: str) -> JSONResponse | None:
        try:
            with self._database.begin() as session:
                session.execute(
                    delete(IdempotencyKey).where(
                        IdempotencyKey.tenant == DEFAULT_TENANT,
                        IdempotencyKey.created_at < utcnow() - self._ttl,
                    )
                )
                session.add(IdempotencyKey(tenant=DEFAULT_TENANT, key=key, fingerprint=fingerprint))
        except IntegrityError:
            return self._replay(key, fingerprint)
        return None

    def _replay(self, key: str, fingerprint: str) -> JSONResponse | None:
        with self._database.begin() as session:
            row = session.get(IdempotencyKey, (DEFAULT_TENANT, key))
            if row is None or (row.status is None and row.fingerprint == fingerprint):
                if row is not None and _take_over(session, row):
                    return None
                raise Conflict(
                    "a request with this Idempotency-Key is still at work",
                    code="idempotency_in_flight",
                )
            if row.fingerprint != fingerprint:
                raise Unprocessable(
                    "this Idempotency-Key was used for another request",
                    code="idempotency_key_reused",
                )
            headers = dict(row.headers or {}) | {"Idempotent-Replayed": "true"}
            return JSONResponse(row.body, row.status or 200, headers)

    def _record(self, session: Session, key: str, answer: Answer) -> None:
        row = session.get(IdempotencyKey, (DEFAULT_TENANT, key))
        if row is None:
            raise Conflict("the Idempotency-Key has expired", code="idempotency_expired")
        row.status = answer.status
        row.headers = dict(answer.headers)
        row.body = answer.body.model_dump(mode="json")

    def _release(self, key: str) -> None:
        with self._database.begin() as session:
            session.execute(
                delete(IdempotencyKey).where(
                    IdempotencyKey.tenant == DEFAULT_TENANT,
                    IdempotencyKey.key == key,
                    IdempotencyKey.status.is_(None),
                )
            )


def _take_over(session: Session, row: IdempotencyKey) -> bool:
    if row.created_at > utcnow() - _ABANDONED:
        return False
    taken: CursorResult[object] = session.execute(  # type: ignore[assignment]
        update(IdempotencyKey)
        .where(
            IdempotencyKey.tenant == row.tenant,
            IdempotencyKey.key == row.key,
            IdempotencyKey.created_at == row.created_at,
            IdempotencyKey.status.is_(None),
        )
        .values(created_at=utcnow())
    )
    return taken.rowcount == 1
