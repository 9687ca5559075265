"""Requests that nobody sends by accident: the same refusal on SQLite and on PostgreSQL, never a 5xx.

Each row names one request and the status that it must get; what is refused is refused by a problem
document, with a status that the OpenAPI document names for that route.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DataError
from starlette.routing import compile_path

from app.models import IdempotencyKey, Upload
from tests.support.ledger import CLASSES, Ledger, settings_in
from tests.support.servers import new_database, shared_servers

HUGE = "9" * 5000
ID = "0" * 32
JSON = {"Content-Type": "application/json"}


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def service(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Ledger]:
    url = None if request.param == "sqlite" else new_database(shared_servers().postgres)
    made = Ledger(settings_in(tmp_path_factory.mktemp("odd"), part_bytes=1024, database_url=url))
    yield made
    made.close()


@pytest.fixture(scope="module")
def names(service: Ledger) -> dict[str, str]:
    """What the paths below are filled in with."""
    stored = service.upload(b"some bytes")
    opened = service.api.post("/v1/uploads", json={"filename": "m", "size": 5}).json()
    job = service.inspection(stored["id"])
    return {"stored": stored["id"], "open": opened["id"], "job": job["id"], "sha": stored["sha256"]}


PATHS = [
    ("GET", "/v1/inspections/%00", 404),
    ("GET", "/v1/inspections/insp_%00", 404),
    ("GET", "/v1/inspections/{job}%00", 404),
    ("GET", "/v1/inspections/{job}%0A", 404),
    ("GET", "/v1/inspections/%ED%A0%80", 404),
    ("GET", "/v1/inspections/%FF%FE", 404),
    ("GET", "/v1/inspections/" + "x" * 5000, 404),
    ("GET", f"/v1/inspections/{HUGE}", 404),
    ("GET", "/v1/inspections/%00/events", 404),
    ("GET", "/v1/inspections/%00/verdict", 404),
    ("GET", "/v1/inspections/%00/report.json", 404),
    ("GET", "/v1/inspections/%00/artifacts", 404),
    ("GET", "/v1/inspections/{job}/artifacts/%00", 404),
    ("GET", "/v1/inspections/{job}/artifacts/..%2F..%2Fetc", 404),
    ("GET", "/v1/inspections/{job}/artifacts/" + "x" * 5000, 404),
    ("POST", "/v1/inspections/%00/cancel", 404),
    ("GET", "/v1/uploads/%00", 404),
    ("POST", "/v1/uploads/%00/complete", 404),
    ("PUT", "/v1/uploads/%00/parts/1", 404),
    ("PUT", "/v1/uploads/{open}/parts/%00", 404),
    ("PUT", "/v1/uploads/{open}/parts/0", 422),
    ("PUT", "/v1/uploads/{open}/parts/-1", 422),
    ("PUT", "/v1/uploads/{open}/parts/abc", 422),
    ("PUT", "/v1/uploads/{open}/parts/1.5", 422),
    ("PUT", "/v1/uploads/{open}/parts/nan", 422),
    ("PUT", f"/v1/uploads/{{open}}/parts/{HUGE}", 422),
    ("PUT", "/v1/uploads/{open}/parts/9999", 404),
    ("PUT", "/v1/uploads/{open}/parts/%C2%B2", 422),
    ("GET", "/v1/models/%00", 404),
    ("GET", "/v1/models/" + "F" * 64, 422),
    ("GET", "/v1/models/{sha}%0A", 404),
    ("GET", "/v1/webhook_endpoints/%00", 404),
    ("DELETE", "/v1/webhook_endpoints/%00", 404),
    ("POST", "/v1/deliveries/%00/redeliver", 404),
    ("POST", "/v1/deliveries/del_" + ID + "/redeliver", 404),
    ("GET", "/%00", 404),
    ("GET", "/v1//inspections", 404),
]

QUERIES = [
    ("/v1/inspections?limit=0", 422),
    ("/v1/inspections?limit=-1", 422),
    ("/v1/inspections?limit=1e1", 422),
    (f"/v1/inspections?limit={HUGE}", 422),
    ("/v1/inspections?limit=%00", 422),
    ("/v1/inspections?limti=5", 422),
    ("/v1/inspections?%00=5", 422),
    ("/v1/inspections?status=", 422),
    ("/v1/inspections?status=done", 422),
    ("/v1/inspections?verdict=%ED%A0%80", 422),
    ("/v1/inspections?sha256=%00", 422),
    ("/v1/inspections?page_token=", 422),
    ("/v1/inspections?page_token=%00", 422),
    ("/v1/inspections?page_token=%F0%9F%98%80", 422),
    (f"/v1/inspections?page_token={HUGE}", 422),
    (f"/v1/inspections?page_token=insp_{ID}", 422),
    (f"/v1/inspections?page_token={ID}%00", 422),
    (f"/v1/inspections?page_token={ID}%0A", 422),
    (f"/v1/inspections?page_token={ID}%21", 422),
    (f"/v1/inspections?page_token={'F' * 32}", 422),
    (f"/v1/inspections?page_token={'%D9%A3' * 32}", 422),
    (f"/v1/inspections?page_token={ID}", 200),
    (f"/v1/inspections?page_token={'f' * 32}", 200),
    (f"/v1/webhook_endpoints?page_token={'0' * 600}", 422),
    (f"/v1/webhook_endpoints?page_token={ID}", 200),
    ("/v1/webhook_endpoints?url=x", 422),
    ("/v1/deliveries?page_token=%00", 422),
    (f"/v1/deliveries?page_token={'f' * 32}", 200),
    ("/v1/deliveries?endpoint_id=%00", 422),
    ("/v1/deliveries?endpoint_id=%12", 422),
    ("/v1/deliveries?inspection_id=%C2%AD%0A", 422),
    ("/v1/deliveries?endpoint_id=" + "x" * 600, 422),
    ("/v1/deliveries?inspection_id=%ED%A0%80", 200),
    ("/v1/deliveries?inspection=x", 422),
    (f"/v1/inspections/{{job}}/events?after={HUGE}", 422),
    (f"/v1/inspections/{{job}}/events?after={2**31}", 422),
    (f"/v1/inspections/{{job}}/events?after={2**31 - 1}", 200),
    ("/v1/inspections/{job}/events?after=nan", 422),
    (f"/v1/inspections/{{job}}/events?page_token={HUGE}", 422),
    ("/v1/inspections/{job}/events?page_token=%C2%B2", 422),
    (f"/v1/inspections/{{job}}/events?page_token={'%D9%A3' * 32}", 422),
    (f"/v1/inspections/{{job}}/events?page_token={'f' * 32}", 200),
    ("/v1/inspections/{job}?wait=nan", 422),
    ("/v1/inspections/{job}?wait=inf", 422),
    ("/v1/inspections/{job}?wait=1e400", 422),
    ("/v1/inspections/{job}?wait=-0.1", 422),
    ("/v1/inspections/{job}?wiat=1", 422),
    ("/v1/inspections/{job}/verdict?x=1", 422),
    ("/v1/inspections/{job}/report.html?x=1", 422),
    ("/v1/uploads/{open}?x", 422),
    ("/v1/metadata?x=1", 422),
    ("/v1/models/{sha}?limit=201", 422),
    ("/v1/models/{sha}?page_token=%00", 422),
    (f"/v1/models/{{sha}}?page_token={ID}", 200),
    ("/healthz?x=1", 422),
    ("/readyz?x=1", 422),
]

INSPECTION = {"upload_id": "{stored}", "backbone": "pocket", "classes": CLASSES}


def wish(**changes: Any) -> str:
    return json.dumps(INSPECTION | changes)


def manifest(value: str) -> str:
    """A wish with one option of the manifest as this very JSON."""
    rest = json.dumps({"upload_id": "{stored}", "backbone": "pocket"})[:-1]
    return f'{rest}, "manifest": {{"classnames": ["cat", "dog"], "alpha": {value}}}}}'


INSPECTIONS = [
    (manifest("1.5"), 202),
    (manifest('"\\ud83d\\ude00"'), 202),
    (manifest(nested(20)), 202),
    (manifest("NaN"), 422),
    (manifest("Infinity"), 422),
    (manifest("-Infinity"), 422),
    (manifest("1e400"), 422),
    (manifest("-1e400"), 422),
    (manifest("1" * 400), 422),
    (manifest(HUGE), 422),
    (manifest(str(2**63)), 422),
    (manifest(str(2**63 - 1)), 202),
    (manifest(str(-(2**63))), 202),
    (manifest("9223372036854775808.0"), 422),
    (manifest("1e300"), 422),
    (manifest("-1e19"), 422),
    (manifest("1e18"), 202),
    (manifest("5e-324"), 202),
    (manifest('"\\ud800"'), 422),
    (manifest('"a\\u0000b"'), 422),
    (manifest('{"\\udfff": 1}'), 422),
    (manifest('{"\\u0000": 1}'), 422),
    (manifest(nested(300)), 422),
    (manifest(nested(900)), 422),
    (manifest(nested(100_000)), 422),
    (manifest('{"a":' * 900 + "1" + "}" * 900), 422),
    (wish(classes=["a\ud800", "b"]), 422),
    (wish(classes=["a\x00", "b"]), 422),
    (wish(classes=[]), 422),
    (wish(labels={"\ud800": "x"}), 422),
    (wish(labels={"a": "\x00"}), 422),
    (wish(labels={"a": 1}), 422),
    (wish(seed=2**32), 422),
    (wish(seed=-1), 422),
    (wish(seed=1.5), 422),
    (wish(seed=True), 202),
    (wish(targets=10**12), 422),
    (wish(targets="some"), 422),
    (wish(budget_s="nan"), 422),
    (wish(budget_s="1e400"), 422),
    (wish(budget_s=float("nan")), 422),
    (wish(budget_s=1e300), 422),
    (wish(deadline_s="inf"), 422),
    (wish(deadline_s=1e300), 422),
    (wish(deadline_s=1e-300), 202),
    (wish(backbone="\ud800"), 422),
    (wish(backbone="x" * 301), 422),
    (wish(upload_id="upl_" + ID), 404),
    (wish(upload_id="upl_\u0000"), 422),
    (wish(state="\ud800"), 422),
    (wish(member="\x7f"), 202),
    (wish(**{"\ud800": 1}), 422),
    (wish(**{"x" * 100_000: 1}), 422),
    (wish(webhook={"url": "https://" + "a" * 600}), 422),
    (wish(webhook={"url": "https://" + "a." * 300 + "org/"}), 422),
    (wish(webhook={"url": "https://" + "\u00fc" * 600 + ".org/"}), 422),
    (wish(webhook={"url": "https://[::1/"}), 422),
    (wish(webhook={"url": f"https://example.org:{HUGE[:1000]}/"}), 422),
    (wish(webhook={"url": "https://example.org/\ud800"}), 422),
    (wish(webhook={"url": "https://example.org/", "secret": "whsec_\u00fc"}), 422),
    ("", 422),
    ("null", 422),
    ("[]", 422),
    ("1", 422),
    ('"x"', 422),
    ("{", 422),
    ("\ufeff{}", 422),
    (nested(900), 422),
    (nested(1_000_000), 422),
    ("1" * 10_000, 422),
]

BODIES = [
    ("/v1/uploads", '{"filename": "m", "size": 1e400}', 422),
    ("/v1/uploads", '{"filename": "m", "size": NaN}', 422),
    ("/v1/uploads", f'{{"filename": "m", "size": {2**63 - 1}}}', 413),
    ("/v1/uploads", f'{{"filename": "m", "size": {HUGE}}}', 422),
    ("/v1/uploads", '{"filename": "m\\ud800", "size": 1}', 422),
    ("/v1/uploads", '{"filename": "m", "size": 1, "sha256": "\\u0000"}', 422),
    ("/v1/uploads", '{"filename": "m", "size": 1}'.encode("utf-16"), 422),
    ("/v1/uploads", b'{"filename": "\xff", "size": 1}', 422),
    ("/v1/uploads", b'{"filename": "\xed\xa0\x80", "size": 1}', 422),
    ("/v1/webhook_endpoints", '{"url": "https://example.org/", "description": "\\ud800"}', 422),
    ("/v1/webhook_endpoints", '{"url": "https://example.org/", "events": ["\\u0000"]}', 422),
    ("/v1/webhook_endpoints", json.dumps({"url": "https://" + "a" * 600 + "/"}), 422),
    ("/v1/webhook_endpoints", nested(900), 422),
]

HEADERS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/v1/inspections/{job}", {"Prefer": b"wait=\xb2"}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": b"wait=\xd9\xa3"}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": "wait=" + HUGE}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": "wait=nan"}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": "wait=-1"}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": "wait=1e400, ,=,;wait"}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": "," * 4000}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": b"\xff\xfe"}, 200),
    ("GET", "/v1/inspections/{job}", {"Prefer": 'wait="0"; x=y'}, 200),
    ("GET", "/v1/inspections/{job}", {"Host": "a" * 600}, 200),
    ("GET", "/v1/inspections/{job}", {"Host": "[::1"}, 200),
    ("GET", "/v1/inspections/nobody", {"Host": "[::1"}, 404),
    ("GET", "/v1/inspections/nobody", {"Host": "evil.example/x?y#z@"}, 404),
    ("GET", "/nowhere", {"Host": ""}, 404),
    ("PUT", "/v1/uploads/{open}/parts/1", {"Content-Length": b"\xb2"}, 422),
    ("POST", "/v1/uploads", {"Content-Length": HUGE}, 422),
    ("POST", "/v1/uploads", {"Idempotency-Key": ""}, 422),
    ("POST", "/v1/uploads", {"Idempotency-Key": "x" * 256}, 422),
    ("POST", "/v1/uploads", {"Idempotency-Key": "a\x00b"}, 422),
    ("POST", "/v1/uploads", {"Idempotency-Key": b"\xff"}, 422),
    ("GET", "/v1/metadata", {"X-Request-ID": b"\xff" * 20}, 200),
    ("GET", "/v1/metadata", {"Authorization": b"\xff\x00"}, 200),
]


@functools.cache
def paths_of(service: Ledger) -> dict[str, Any]:
    return dict(service.api.get("/openapi.json").json()["paths"])


def statuses_of(service: Ledger, method: str, path: str) -> set[str]:
    """What the OpenAPI document says of the route that a path belongs to; nothing where it has none."""
    asked = path.partition("?")[0].replace("{", "").replace("}", "")
    for template, item in paths_of(service).items():
        if compile_path(template)[0].fullmatch(asked):
            return set(item[method.lower()]["responses"])
    return set()


def judge(service: Ledger, answer: Any, method: str, path: str, status: int) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if status < 400:
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert len(answer.content) < 5000
    documented = statuses_of(service, method, path)
    assert not documented or str(status) in documented


@pytest.mark.parametrize(("method", "path", "status"), PATHS)
def test_paths(service: Ledger, names: dict[str, str], method: str, path: str, status: int) -> None:
    answer = service.api.request(
        method, path.format(**names), content=b"" if method == "GET" else b"x"
    )
    judge(service, answer, method, path, status)


@pytest.mark.parametrize(("path", "status"), QUERIES)
def test_queries(service: Ledger, names: dict[str, str], path: str, status: int) -> None:
    judge(service, service.api.get(path.format(**names)), "GET", path, status)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["plain", "keyed"])
@pytest.mark.parametrize(("body", "status"), INSPECTIONS)
def test_wishes(
    service: Ledger, names: dict[str, str], body: str, status: int, headers: dict[str, str]
) -> None:
    sent = body.replace("{stored}", names["stored"]).encode("utf-8", "surrogatepass")
    if headers:
        headers = {"Idempotency-Key": f"k{hash(body)}"}
    answer = service.api.post("/v1/inspections", content=sent, headers=headers | JSON)
    judge(service, answer, "POST", "/v1/inspections", status)
    if status == 202:
        read = service.api.get(answer.headers["Location"])
        assert read.status_code == 200
    else:
        with service.context.database.read() as session:
            assert session.get(IdempotencyKey, ("default", f"k{hash(body)}")) is None


@pytest.mark.parametrize(("path", "body", "status"), BODIES)
def test_bodies(service: Ledger, path: str, body: str | bytes, status: int) -> None:
    answer = service.api.post(path, content=body, headers=JSON)
    judge(service, answer, "POST", path, status)


@pytest.mark.parametrize(("method", "path", "headers", "status"), HEADERS)
def test_headers(
    service: Ledger,
    names: dict[str, str],
    method: str,
    path: str,
    headers: dict[str, Any],
    status: int,
) -> None:
    content = {"GET": None, "PUT": b"x", "POST": b'{"filename": "m"}'}[method]
    headers = headers | JSON if method == "POST" else headers
    answer = service.api.request(method, path.format(**names), headers=headers, content=content)
    judge(service, answer, method, path, status)


def test_what_slips_through_is_the_callers_fault_on_both(service: Ledger) -> None:
    """The net below the rules: values that the database itself refuses are ``DataError`` on both."""
    with pytest.raises(DataError), service.context.database.begin() as session:
        session.scalar(select(Upload).where(Upload.filename == "\ud800"))
    with pytest.raises(DataError), service.context.database.begin() as session:
        key = {"tenant": "t", "key": "k", "fingerprint": "f", "status": 2**70}
        session.execute(insert(IdempotencyKey).values(key))
