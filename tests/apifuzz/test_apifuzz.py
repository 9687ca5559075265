"""A short run of the API fuzzing on both databases, and that it notices what it is there for.

``make fuzz-api`` is the long one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete

from app.db.session import Database
from app.models import Inspection
from tests.apifuzz import campaign
from tests.apifuzz.tally import Tally
from tests.apifuzz.world import World, running, seed

CASES = 300
EXAMPLES = 6
STATUSES = {200, 201, 202, 204, 401, 404, 405, 409, 413, 415, 422}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed(tmp_path_factory.mktemp("apifuzz"))


@pytest.fixture(scope="module")
def sqlite(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running("sqlite", seeded, tmp_path_factory.mktemp("worlds")) as world:
        yield world


@pytest.fixture(scope="module")
def postgres(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running("postgres", seeded, tmp_path_factory.mktemp("worlds")) as world:
        yield world


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_answers_are_as_documented(kind: str, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(kind)
    tally = campaign.run(world, cases=CASES, examples=EXAMPLES, seed=26)
    assert not tally.faults, "\n".join(map(str, tally.faults[:20]))
    assert tally.never_accepted == set(), tally.table()
    assert tally.is_as_documented
    assert tally.cases >= CASES
    assert {"coverage", "fuzzing", "stateful"} <= set(tally.stages)
    assert {status for (_, status) in tally.answers} >= STATUSES


def only(document: dict[str, Any], *paths: str) -> dict[str, Any]:
    return document | {"paths": {path: document["paths"][path] for path in paths}}


def kinds(tally: Tally) -> set[str]:
    return {fault.kind for fault in tally.faults}


def test_a_document_that_says_something_else_is_noticed(sqlite: World) -> None:
    """The same API under a document with one lie of each kind."""
    document = httpx2.get(f"{sqlite.url}/openapi.json").json()
    path = "/v1/webhook_endpoints"
    told = only(document, path)
    told["paths"][path].pop("post")
    answers = told["paths"][path]["get"]["responses"]
    del answers["422"]
    answers["200"]["headers"]["X-Nobody-Sends-This"] = {"required": True, "schema": {}}
    answers["200"]["content"] = {"application/json": {"schema": {"type": "array"}}}
    answers["401"]["content"] = {"text/plain": {}}
    told["paths"][path]["get"]["parameters"][0]["schema"]["maximum"] = 100_000
    tally = campaign.run(sqlite, cases=30, examples=10, seed=1, document=told)
    assert kinds(tally) >= {
        "status_code_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "content_type_conformance",
        "positive_data_acceptance",
    }


def test_an_operation_that_accepts_nothing_is_noticed(sqlite: World) -> None:
    document = only(httpx2.get(f"{sqlite.url}/openapi.json").json(), "/v1/metadata")
    document["paths"]["/v1/nowhere"] = document["paths"]["/v1/metadata"]
    tally = campaign.run(sqlite, cases=1, examples=1, seed=1, document=document)
    assert tally.never_accepted == {"GET /v1/nowhere"}
    assert not tally.is_as_documented


def test_databases_that_answer_differently_are_noticed(
    sqlite: World, seeded: Path, tmp_path: Path
) -> None:
    document = only(
        httpx2.get(f"{sqlite.url}/openapi.json").json(), "/v1/inspections/{inspection_id}/events"
    )
    with running("sqlite", seeded, tmp_path) as other:
        same = campaign.run(sqlite, cases=20, examples=20, seed=1, document=document, twin=other)
        assert same.compared > 0
        assert "the databases differ" not in kinds(same)
        database = Database(f"sqlite:///{tmp_path / 'sqlite' / 'clipvet.sqlite3'}")
        with database.begin() as session:
            session.execute(delete(Inspection))
        database.close()
        differing = campaign.run(
            sqlite, cases=20, examples=20, seed=1, document=document, twin=other
        )
    assert "the databases differ" in kinds(differing)
