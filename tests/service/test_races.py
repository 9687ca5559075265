"""Parts against ``complete`` on real API processes, and what a kill leaves at any step.

More races, and the same ones by seed: ``python -m tests.load.races``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.db.session import Database
from app.models import Upload
from app.storage import Store
from app.uploads.completing import complete
from tests.load.races import DATABASES, STORES, api, races
from tests.service.conftest import s3_settings
from tests.support.ledger import Ledger, settings_in

_RACES = 60


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("store", STORES)
def test_the_stored_hash_is_that_of_the_stored_bytes(
    tmp_path: Path, store: str, database: str
) -> None:
    with api(tmp_path, store, database) as (url, settings):
        tally = races(url, settings, _RACES, seed=26)
    assert tally.broken == []
    assert sum(tally.endings.values()) == _RACES
    # Were no part ever refused or asked for again, nothing would have raced.
    assert sum(count for answer, count in tally.answers.items() if " 409 " in answer) > _RACES / 10


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it, nothing is tidied up after it."""


class Steps:
    """Ends the process, so to speak, before or after its n-th step."""

    def __init__(self, last: int) -> None:
        self.left = last

    def step(self, work: Callable[[], Any]) -> Any:
        self._count()
        result = work()
        self._count()
        return result

    def _count(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


class KilledStore:
    """A real store whose user dies before or after one of its calls."""

    def __init__(self, store: Store, steps: Steps) -> None:
        self._store, self._steps = store, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found
        return lambda *given: self._steps.step(lambda: found(*given))


class KilledDatabase:
    """A real database whose user dies before or after a transaction."""

    def __init__(self, database: Database, steps: Steps) -> None:
        self._database, self._steps = database, steps
        self.read = database.read

    def begin(self) -> Any:
        outer = self

        class Transaction:
            def __enter__(self) -> Any:
                outer._steps._count()
                self.inner = outer._database.begin()
                return self.inner.__enter__()

            def __exit__(self, *error: Any) -> Any:
                handled = self.inner.__exit__(*error)
                if error[0] is None:
                    outer._steps._count()
                return handled

        return Transaction()


@pytest.fixture(params=STORES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    changes = {"part_bytes": 1024} if request.param == "folder" else {}
    settings = settings_in(tmp_path, **changes)
    if request.param == "s3":
        settings = s3_settings(tmp_path)
    made = Ledger(settings)
    yield made
    made.close()


def _sent(ledger: Ledger, data: bytes, **declared: Any) -> str:
    body = {"filename": "m", "size": len(data)} | declared
    upload = ledger.api.post("/v1/uploads", json=body).json()
    for part in upload["parts"]:
        piece = data[part["start_offset"] : part["end_offset"]]
        assert ledger.api.put(part["upload_url"], content=piece).status_code == 200
    return str(upload["id"])


def test_completing_can_be_repeated_wherever_it_was_killed(ledger: Ledger) -> None:
    killed = 0
    while True:
        data = os.urandom(2500)
        upload, steps = _sent(ledger, data), Steps(killed)
        database: Any = KilledDatabase(ledger.context.database, steps)
        store: Any = KilledStore(ledger.context.store, steps)
        try:
            complete(database, store, upload)
            break
        except Killed:
            killed += 1
        done = ledger.api.post(f"/v1/uploads/{upload}/complete")
        assert done.status_code == 200, done.text
        assert done.json()["sha256"] == hashlib.sha256(data).hexdigest()
        assert ledger.stored_bytes(upload) == data
    # Two transactions, joining, reading back, dropping: before and after each.
    assert killed == 10


def test_a_refused_upload_can_be_sent_again_wherever_it_was_killed(ledger: Ledger) -> None:
    killed = 0
    right, wrong = os.urandom(2500), os.urandom(2500)
    declared = hashlib.sha256(right).hexdigest()
    while killed < 20:
        upload, steps = _sent(ledger, wrong, sha256=declared), Steps(killed)
        database: Any = KilledDatabase(ledger.context.database, steps)
        store: Any = KilledStore(ledger.context.store, steps)
        try:
            complete(database, store, upload)
        except Killed:
            killed += 1
        except Exception:
            break
        first = ledger.api.post(f"/v1/uploads/{upload}/complete").json()
        assert first["code"] in ("sha256_mismatch", "parts_missing")
        for part in ledger.api.get(f"/v1/uploads/{upload}").json()["parts"]:
            piece = right[part["start_offset"] : part["end_offset"]]
            assert ledger.api.put(part["upload_url"], content=piece).status_code == 200
        assert ledger.api.post(f"/v1/uploads/{upload}/complete").status_code == 200
        assert ledger.stored_bytes(upload) == right
    assert killed == 12


def test_parts_are_not_noted_while_they_are_joined(ledger: Ledger) -> None:
    data = os.urandom(2500)
    upload = _sent(ledger, data)
    with ledger.context.database.begin() as session:
        session.get_one(Upload, upload).status = "joining"
    part = ledger.api.get(f"/v1/uploads/{upload}").json()["parts"][0]
    length = part["end_offset"] - part["start_offset"]
    answer = ledger.api.put(part["upload_url"], content=b"x" * length)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_completing")
    assert ledger.api.post(f"/v1/uploads/{upload}/complete").status_code == 200
    assert ledger.stored_bytes(upload) == data


def test_parts_that_the_store_lost_are_asked_for(ledger: Ledger) -> None:
    data = os.urandom(2500)
    upload = _sent(ledger, data)
    with ledger.context.database.read() as session:
        row = session.get_one(Upload, upload)
    ledger.context.store.drop_parts(row.storage_key, row.store_ref or "")
    parts = ledger.api.get(f"/v1/uploads/{upload}").json()["parts"]
    answer = ledger.api.post(f"/v1/uploads/{upload}/complete")
    assert (answer.status_code, answer.json()["code"]) == (409, "parts_missing")
    assert answer.json()["parts"] == [part["part_number"] for part in parts]
    for part in parts:
        piece = data[part["start_offset"] : part["end_offset"]]
        assert ledger.api.put(part["upload_url"], content=piece).status_code == 200
    assert ledger.api.post(f"/v1/uploads/{upload}/complete").status_code == 200
    assert ledger.stored_bytes(upload) == data
