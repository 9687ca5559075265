"""What all endpoints share: problems, request ids, authentication, health, imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.db.ids import new_id
from tests.support.ledger import Ledger, settings_in


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("PUT", "/v1/inspections", {}, 405, "method_not_allowed"),
        ("POST", "/v1/uploads", {"json": {"filename": ""}}, 422, "invalid_request"),
        ("POST", "/v1/uploads", {"content": b"{"}, 415, "unsupported_media_type"),
        (
            "POST",
            "/v1/uploads",
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
            422,
            "invalid_request",
        ),
        ("POST", "/v1/uploads", {"json": {"filename": "x" * 3_000_000}}, 413, "too_large"),
        ("GET", "/v1/inspections?limit=9999", {}, 422, "invalid_request"),
        ("GET", "/v1/models/abc", {}, 422, "invalid_request"),
    ],
)
def test_every_error_is_a_problem_document(
    ledger: Ledger, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = ledger.api.request(method, path, **options)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["type"].endswith(code)


def test_a_body_without_declared_length_is_limited_too(ledger: Ledger) -> None:
    endless = (b"x" * 65536 for _ in range(100))
    headers = {"Content-Type": "application/json"}
    answer = ledger.api.post("/v1/uploads", content=endless, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_our_own_fault_is_a_problem_too(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("app.uploads.service.get", broken)
    answer = ledger.api.get("/v1/uploads/upl_0")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.text
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] != ""
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_database_that_is_away_is_503(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: object) -> None:
        raise OperationalError("SELECT 1", {}, RuntimeError("connection refused"))

    monkeypatch.setattr("app.uploads.service.get", away)
    answer = ledger.api.get("/v1/uploads/upl_0")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("filename", ["a\x00b", "a\nb", "\x7f", "x" * 256, "\ud800"])
def test_names_are_printable(ledger: Ledger, filename: str) -> None:
    body = json.dumps({"filename": filename, "size": 1})
    headers = {"Content-Type": "application/json"}
    answer = ledger.api.post("/v1/uploads", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(("given", "kept"), [("my-request-1", True), ("<script>", False)])
def test_request_ids_are_kept_when_sane(ledger: Ledger, given: str, kept: bool) -> None:
    answer = ledger.api.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is kept


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(settings_in(tmp_path, api_token="open sesame"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Basic open sesame", 401),
        ("Bearer open sesame", 200),
        ("bearer open sesame", 200),
    ],
)
def test_a_token_guards_everything_but_health(
    locked: Ledger, header: str | None, status: int
) -> None:
    headers = {"Authorization": header} if header else {}
    answer = locked.api.get("/v1/inspections", headers=headers)
    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert locked.api.get("/healthz").status_code == 200
    assert locked.api.get("/readyz").status_code == 200


def test_readiness_names_what_is_missing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ledger.api.get("/readyz").json() == {
        "status": "ok",
        "checks": {"database": "ok", "store": "ok", "disk": "ok"},
        "workers_alive": 0,
    }
    monkeypatch.setattr("app.readiness.is_current", lambda _session: False)
    answer = ledger.api.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")


def test_metadata_says_what_the_service_takes(ledger: Ledger) -> None:
    body = ledger.api.get("/v1/metadata").json()
    assert body["limits"]["max_upload_bytes"] == 10_000
    assert "quick" in body["profiles"]


def test_the_description_can_be_built(ledger: Ledger) -> None:
    paths = ledger.api.get("/openapi.json").json()["paths"]
    assert "/v1/inspections/{inspection_id}/verdict" in paths


@pytest.mark.parametrize("module", ["app.main", "app.cli", "app.demo", "worker.__main__"])
def test_no_tensor_library_is_loaded(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(out.stdout.split())
    assert not loaded & {"torch", "numpy", "open_clip", "inspector.clip"}
    if module.startswith("app"):
        inspector = {name for name in loaded if name.startswith("inspector.")}
        assert {name.split(".")[1] for name in inspector} <= {"names", "options", "page"}
        assert "worker" not in loaded


def test_ids_sort_by_time_and_are_uuid7() -> None:
    made = [new_id("insp") for _ in range(50)]
    assert len(set(made)) == 50
    assert [item[:14] for item in made] == sorted(item[:14] for item in made)
    assert {item[5 + 12] for item in made} == {"7"}
    assert {item[5 + 16] for item in made} <= set("89ab")
