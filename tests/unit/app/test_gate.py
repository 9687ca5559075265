"""Who asks and for what: tokens, methods, HEAD, links, and the description of it all."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from app import serving
from app.description.document import operations
from app.models import Artifact
from app.settings import Settings
from tests.support.ledger import Ledger, settings_in

ID = "0" * 32


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(settings_in(tmp_path, api_token="open sesame"))
    yield made
    made.close()


@pytest.mark.parametrize("token", ["", " ", "\t", "x\n", " x", "ü", "a\x00b"])
def test_a_token_that_keeps_nobody_out_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ValidationError, match="api_token"):
        settings_in(tmp_path, api_token=token)


def test_a_refused_secret_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        settings_in(tmp_path, api_token="hunter2 ")
    assert "hunter2" not in str(refused.value)


def test_an_empty_token_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPVET_API_TOKEN", raising=False)
    assert Settings().api_token is None
    monkeypatch.setenv("CLIPVET_API_TOKEN", "")
    with pytest.raises(ValidationError, match="set but empty"):
        Settings()


@pytest.mark.parametrize(
    "url",
    [
        "nowhere", "ftp://x/", "https://", "https://x/?a", "https://u@x/", "https://ü/", "http://[x/",
        "https://" + "x" * 600,
    ],
)  # fmt: skip
def test_a_public_url_that_makes_no_links_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError, match="public_url"):
        settings_in(tmp_path, public_url=url)


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/inspections", "/v1/nowhere", "/nowhere"])
def test_a_stranger_is_refused_before_the_body_is_read(locked: Ledger, path: str) -> None:
    read: list[str] = []
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        read.append("read")
        return {"type": "http.request", "body": b"{", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "scheme": "http",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    anyio.run(lambda: locked.api.app(scope, receive, send))
    assert (sent[0]["status"], read) == (401, [])


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_open_paths_need_no_token(locked: Ledger, path: str) -> None:
    assert locked.api.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/healthz", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/v1/uploads", "GET, HEAD, POST"),
        ("/v1/inspections", "GET, HEAD, POST"),
        (f"/v1/inspections/insp_{ID}/cancel", "POST"),
        ("/v1/webhook_endpoints", "GET, HEAD, POST"),
        (f"/v1/webhook_endpoints/whe_{ID}", "DELETE, GET, HEAD"),
        (f"/v1/uploads/upl_{ID}/parts/1", "PUT"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "BREW"])
def test_a_wrong_method_is_told_all_right_ones(
    ledger: Ledger, method: str, path: str, allowed: str
) -> None:
    answer = ledger.api.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.json()["code"] == "method_not_allowed"


def test_head_is_get_without_the_body(ledger: Ledger) -> None:
    job = ledger.inspection()
    paths = ["/healthz", "/docs", "/v1/inspections", f"/v1/inspections/{job['id']}", "/v1/metadata"]
    for path in [*paths, "/v1/inspections/nobody", "/v1/inspections?x=1"]:
        get, head = ledger.api.get(path), ledger.api.head(path)
        assert head.status_code == get.status_code
        assert head.content == b""
        for name in ("Content-Type", "Content-Length"):
            assert head.headers[name] == get.headers[name]


def test_head_of_a_file_does_not_read_it_all(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ledger.inspection()
    with ledger.context.database.begin() as session:
        session.add(
            Artifact(
                inspection_id=job["id"], name="big", storage_key="k", sha256="0" * 64,
                size=1 << 40, media_type="application/octet-stream",
            )
        )  # fmt: skip

    class Endless:
        blocks = 0

        def read(self, size: int) -> bytes:
            self.blocks += 1
            assert self.blocks < 100, "all of it is read"
            return b"x"

        def close(self) -> None:
            pass

    stream = Endless()
    monkeypatch.setattr(type(ledger.context.store), "open", lambda _store, _key: stream)
    answer = ledger.api.head(f"/v1/inspections/{job['id']}/artifacts/big")
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(1 << 40)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content == b""


@pytest.mark.parametrize("host", ["evil.example", "[::1", "a" * 600])
@pytest.mark.parametrize(
    ("public", "start"), [(None, "/v1/"), ("https://vet.example/x/", "https://vet.example/x/v1/")]
)
def test_the_host_header_shapes_no_link(
    tmp_path: Path, host: str, public: str | None, start: str
) -> None:
    ledger = Ledger(settings_in(tmp_path, public_url=public))
    declared = {"filename": "m", "size": 5}
    answer = ledger.api.post("/v1/uploads", json=declared, headers={"Host": host})
    ledger.close()
    links = [answer.headers["Location"], answer.json()["parts"][0]["upload_url"]]
    assert [link for link in links if not link.startswith(start)] == []
    assert host not in answer.text


def test_every_route_documents_what_all_routes_answer(locked: Ledger) -> None:
    document = locked.api.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    seen = 0
    for path, method, operation in operations(document):
        seen += 1
        # A browser that opens a page is told a problem as a page.
        as_page = ["text/html"] if path.endswith((".html", ".pdf")) else []
        is_open = path in ("/healthz", "/readyz", "/v1/signing_keys")
        assert operation["security"] == ([] if is_open else [{"token": []}])
        wanted = {"422", "500"} | (set() if is_open else {"401", "503"})
        assert wanted <= operation["responses"].keys(), (method, path)
        for status, answer in operation["responses"].items():
            if status >= "400" and (path, status) != ("/readyz", "503"):
                told = ["application/problem+json", *as_page]
                assert list(answer["content"]) == told, (path, status)
    assert seen >= 20
    assert "HTTPValidationError" not in json.dumps(document)


def test_the_documentation_needs_no_other_server(ledger: Ledger) -> None:
    page = ledger.api.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    for loads in ("<script", "<link", "<img", "src=", "url(", "@import", 'href="http'):
        assert loads not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path in ledger.api.get("/openapi.json").json()["paths"]:
        assert path in page.text


def test_the_documentation_can_be_switched_off(tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path, docs=False))
    found = {ledger.api.get(path).status_code for path in ("/docs", "/openapi.json", "/redoc")}
    ledger.close()
    assert found == {404}


def test_a_query_key_that_nobody_knows_is_named(ledger: Ledger) -> None:
    answer = ledger.api.get("/v1/inspections?limit=1&limti=5")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["location"]) == (422, ["query", "limti"])
    assert "limit" in error["message"]


def test_a_body_in_pieces_is_judged_by_its_type(ledger: Ledger) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"filename": "m", '
        yield b'"size": 1}'

    refused = ledger.api.post("/v1/uploads", content=chunks(), headers={"Content-Type": "text/x"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    taken = ledger.api.post(
        "/v1/uploads", content=chunks(), headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert taken.status_code == 201


@pytest.mark.parametrize(
    ("host", "public", "links"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8000"),
        ("::1", None, "http://[::1]:8000"),
        ("0.0.0.0", None, None),
        ("127.0.0.1", "https://clipvet.example", "https://clipvet.example"),
    ],
)
def test_links_begin_with_what_is_listened_on(
    tmp_path: Path, host: str, public: str | None, links: str | None
) -> None:
    settings = settings_in(tmp_path, public_url=public)
    assert serving._with_public_url(settings, host, 8000).public_url == links
