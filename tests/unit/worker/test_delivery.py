"""One webhook attempt against a real receiver, and against what attackers try."""

from __future__ import annotations

import gzip
import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from app.settings import Settings
from app.webhooks.service import DueDelivery
from app.webhooks.signing import new_secret
from tests.support.ledger import settings_in
from tests.support.receiver import Receiver, plain
from worker.delivery import attempt

SECRET = new_secret()
BODY = json.dumps({"type": "inspection.completed", "data": {}}).encode()


def due(url: str) -> DueDelivery:
    return DueDelivery("del_1", url, SECRET, "evt_1", BODY)


@pytest.fixture
def loopback(tmp_path: Path) -> Settings:
    return settings_in(
        tmp_path,
        webhook_allow_http=True,
        webhook_allow_cidrs=["127.0.0.0/8"],
        webhook_timeout_s=1.0,
    )


def test_the_receiver_can_verify_what_it_gets(loopback: Settings) -> None:
    with Receiver() as receiver:
        result = attempt(due(receiver.url), loopback)
    assert result.is_delivered
    assert (result.status_code, result.address, result.error) == (204, "127.0.0.1", None)
    (got,) = receiver.received
    assert got.headers["webhook-id"] == "evt_1"
    assert Webhook(SECRET).verify(got.body, got.headers) == json.loads(BODY)


def test_letters_beyond_ascii_go_out_as_ascii(loopback: Settings) -> None:
    with Receiver() as receiver:
        result = attempt(due(f"{receiver.url}/ä?ö=%20ü"), loopback)
    assert result.is_delivered
    assert receiver.received[0].path == "/hook/%C3%A4?%C3%B6=%20%C3%BC"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://bücher.invalid/", "ConnectError: the host name cannot be resolved"),
        ("https://☃.invalid/", "forbidden target: the host '☃.invalid' has no ASCII form"),
        (f"https://{'a' * 64}.invalid/", "forbidden target: "),
    ],
)
def test_an_odd_host_is_an_error_of_its_own_delivery(tmp_path: Path, url: str, error: str) -> None:
    result = attempt(due(url), settings_in(tmp_path))
    assert (result.error or "").startswith(error)


@pytest.mark.parametrize(
    ("secret", "event_id", "error"),
    [
        ("hunter2", "evt_1", "ValueError: "),
        ("whsec_short", "evt_1", "ValueError: "),
        ("whsec_é", "evt_1", "ValueError: "),
        (SECRET, "evt_ü", "TypeError: "),
        (SECRET, "evt_1\r\nx-evil: 1", "LocalProtocolError: "),
    ],
    ids=["no-secret", "short", "not-ascii", "id-not-ascii", "id-two-lines"],
)
def test_what_no_request_can_be_built_from_is_an_error(
    loopback: Settings, secret: str, event_id: str, error: str
) -> None:
    with Receiver() as receiver:
        result = attempt(DueDelivery("del_1", receiver.url, secret, event_id, BODY), loopback)
    assert (result.error or "").startswith(error)
    assert receiver.received == []


def test_a_resolver_that_comes_back_late_sends_nothing(
    loopback: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def resolve(*args: Any, **options: Any) -> list[Any]:
        time.sleep(1.2)
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Receiver() as receiver:
        result = attempt(due(receiver.url), loopback)
    assert (result.error or "").startswith("ConnectTimeout: ")
    assert receiver.received == []


def test_without_the_switch_loopback_is_refused_unsent(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, webhook_allow_http=True)
    with Receiver() as receiver:
        result = attempt(due(receiver.url), settings)
    assert result.error is not None
    assert "forbidden" in result.error
    assert receiver.received == []


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]"]
)
def test_other_spellings_of_loopback_are_refused(tmp_path: Path, host: str) -> None:
    settings = settings_in(tmp_path, webhook_allow_http=True)
    with Receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        result = attempt(due(f"http://{host}:{port}"), settings)
    assert result.error is not None
    assert receiver.received == []


def test_a_name_with_one_bad_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_args: object, **_options: object) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, 443)) for address in ("93.184.216.34", "169.254.169.254")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    result = attempt(due("https://example.org/"), settings_in(tmp_path))
    assert result.error is not None
    assert "169.254.169.254" in result.error


def test_the_vetted_address_is_the_one_connected_to(
    loopback: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that answers something else the second time is never asked again."""
    answers = iter(["127.0.0.1"])

    def resolve(host: str, port: int, *_args: object, **_options: object) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        address = host if host == "127.0.0.1" else next(answers)
        return [(*kind, (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        result = attempt(due(f"http://rebinding.example:{port}"), loopback)
    assert result.is_delivered
    assert receiver.received[0].headers["host"].startswith("rebinding.example")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_failures(loopback: Settings, status: int) -> None:
    with Receiver() as other, Receiver(plain(status, {"Location": other.url})) as receiver:
        result = attempt(due(receiver.url), loopback)
    assert (result.status_code, result.is_delivered) == (status, False)
    assert other.received == []


def test_a_proxy_of_the_environment_is_ignored(
    loopback: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Receiver() as receiver:
        assert attempt(due(receiver.url), loopback).is_delivered


def test_a_receiver_that_drips_is_cut_off(loopback: Settings) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.1)

    with Receiver(drip) as receiver:
        begun = time.monotonic()
        result = attempt(due(receiver.url), loopback)
    assert time.monotonic() - begun < 3
    assert result.error is not None
    assert "Timeout" in result.error


def test_a_receiver_that_never_answers_is_cut_off(loopback: Settings) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        result = attempt(due(f"http://127.0.0.1:{silent.getsockname()[1]}/"), loopback)
    assert result.error is not None
    assert "Timeout" in result.error


def test_a_long_answer_is_not_read_to_its_end(loopback: Settings) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    headers = {"Content-Encoding": "gzip"}
    with Receiver(plain(200, headers, bomb)) as receiver:
        result = attempt(due(receiver.url), loopback)
    assert result.is_delivered
    assert len(result.response_excerpt) <= 1024


def test_the_receiver_s_wait_is_noted(loopback: Settings) -> None:
    with Receiver(plain(429, {"Retry-After": "120"}, b"slow down")) as receiver:
        result = attempt(due(receiver.url), loopback)
    assert (result.status_code, result.retry_after_s) == (429, 120.0)
    assert result.response_excerpt == "slow down"


def test_a_closed_port_is_a_failure(loopback: Settings) -> None:
    result = attempt(due("http://127.0.0.1:9/"), loopback)
    assert (result.status_code, result.error is not None) == (None, True)
