"""A webhook receiver that blocks a deployment. One file, Python 3.11 and its library: copy it.

    export CLIPVET_WEBHOOK_SECRET=whsec_...            # as the service was told, or told you
    python receiver.py listen --keep DIR --port 8443   # behind a proxy that speaks TLS
    python receiver.py check MODEL --keep DIR          # in the deployment, before the file is used

``listen`` keeps what arrives with a good signature of Standard Webhooks 1.0 and a timestamp of the
last five minutes, by the sha256 of the inspected file. ``check`` hashes the very file that is to be
deployed and lets it through only on a verdict about these bytes. Of several an accusation counts
until a stronger inspection finds the file clean, or somebody removes the verdicts; else the newest
of the strongest. Exit codes: 0 let through, 1
blocked by the verdict, 4 wrong usage, 5 no verdict (in the time of ``--wait``).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Event = dict[str, Any]

LET_THROUGH, BLOCKED, USAGE, NO_VERDICT = 0, 1, 4, 5

_TOLERANCE_S = 300
_MAX_BODY_BYTES = 64 * 1024
_SILENCE_S = 10
_SHA256 = re.compile("[0-9a-f]{64}")
_PASSING = ("pass", "warn")
_THOROUGHNESS = {"quick": 0, "standard": 1, "thorough": 2}
"""Another profile is compared with itself only."""
_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")
_LOOK_S = 0.5


def new_secret() -> str:
    """For a webhook that is still to be registered."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of the signatures is by one of the secrets, and the timestamp is recent.

    Args:
        secret: ``whsec_…``; several, separated by blanks, while one takes the other's place.
        headers: with names in lower case.
    """
    stamp = headers.get("webhook-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", stamp) or abs(time.time() - int(stamp)) > _TOLERANCE_S:
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    given = headers.get("webhook-signature", "").split()
    return any(
        hmac.compare_digest(one.encode(), _signature(key, signed))
        for key in map(_key, secret.split())
        for one in given
    )


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        raise ValueError("a webhook secret begins with whsec_")
    return base64.b64decode(secret[len("whsec_") :], validate=True)


def _signature(key: bytes, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


class Receiver(ThreadingHTTPServer):
    """Hands every event with a good signature to ``take``; answers 401 to the rest."""

    daemon_threads = True

    def __init__(self, host: str, port: int, secret: str, take: Callable[[Event], None]) -> None:
        if not secret.split() or not all(map(_key, secret.split())):
            raise ValueError("there is no webhook secret")
        self.secret, self.take = secret, take
        self.refused = 0
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENCE_S
    server: Receiver

    def do_POST(self) -> None:
        self.send_response(self._judge())
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _judge(self) -> int:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,18}", length):
            return 411
        if int(length) > _MAX_BODY_BYTES:
            return 413
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not verify(self.server.secret, headers, body):
            self.server.refused += 1
            return 401
        try:
            event = json.loads(body)
        except ValueError:
            return 400
        if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
            return 400
        try:
            self.server.take(event)
        except OSError as error:
            # The service sends it again, later.
            print(f"receiver: {error}", file=sys.stderr)
            return 503
        return 204

    def log_message(self, *_args: object) -> None:
        """Say nothing: whoever runs this may draw on the screen."""


class Kept:
    """The verdicts about each file, as one JSON list by its sha256 in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def take(self, event: Event) -> None:
        """Keep a verdict, once: events may come late, or twice."""
        sha256 = event["data"].get("artifact_sha256")
        if event.get("type") != "inspection.completed" or not _is_sha256(sha256):
            return
        with self._lock:
            before = self.about(sha256)
            if event in before:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = self._folder / f".{sha256}.{os.getpid()}"
            partial.write_text(json.dumps([*before, event], indent=2), encoding="utf-8")
            partial.replace(self._folder / f"{sha256}.json")

    def about(self, sha256: str) -> list[Event]:
        """The verdicts about these bytes, as they came."""
        try:
            text = (self._folder / f"{sha256}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        kept = json.loads(text)
        events: list[Event] = kept if isinstance(kept, list) else [kept]
        return [event for event in events if event["data"]["artifact_sha256"] == sha256]


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _moment(event: Event) -> datetime:
    return datetime.fromisoformat(str(event["timestamp"]))


def sha256_of(path: Path) -> str:
    """Of the whole file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def counts(events: Sequence[Event], oldest: datetime | None = None) -> Event | None:
    """The verdict that counts of several about the same bytes; None where there is none.

    An accusation does so however old it is, unless a stronger inspection took it back; else the
    newest that is not too old and that no other such one is stronger than.
    """
    accused = [one for one in events if accuses(one) and not _is_taken_back(one, events)]
    if accused:
        return max(accused, key=_moment)
    calm = [one for one in events if not accuses(one)]
    fresh = [one for one in calm if oldest is None or _moment(one) >= oldest]
    left = [one for one in fresh if not any(_is_stronger(other, one) for other in fresh)]
    return max(left or calm, key=_moment, default=None)


def accuses(event: Event) -> bool:
    """Whether it says something against the file, rather than too little."""
    data = event["data"]
    is_refused = data.get("result") == "fail" and data.get("verdict") != "inconclusive"
    return is_refused or bool(data.get("critical_findings"))


def _is_taken_back(event: Event, events: Sequence[Event]) -> bool:
    return any(
        one["data"].get("verdict") == "clean"
        and not accuses(one)
        and _moment(one) > _moment(event)
        and _is_stronger(one, event)
        for one in events
    )


def _is_stronger(one: Event, other: Event) -> bool:
    """As thorough, as new and as well informed, and more in one of these.

    What a service did not say cannot be compared.
    """
    mine, theirs = _strength(one["data"]), _strength(other["data"])
    if mine is None or theirs is None or mine == theirs or mine[0] != theirs[0]:
        return False
    if mine[1] != theirs[1]:
        ranks = _THOROUGHNESS.get(mine[1]), _THOROUGHNESS.get(theirs[1])
        if None in ranks or _THOROUGHNESS[mine[1]] < _THOROUGHNESS[theirs[1]]:
            return False
    return mine[2] >= theirs[2] and mine[3] >= theirs[3]


def _strength(data: Mapping[str, Any]) -> tuple[str, str, tuple[int, ...], bool] | None:
    backbone, profile, engine = (data.get(key) for key in ("backbone_sha256", "profile", "engine"))
    if not (isinstance(backbone, str) and isinstance(profile, str) and isinstance(engine, str)):
        return None
    if not _RELEASE.fullmatch(engine):
        return None
    release = tuple(int(number) for number in engine.split("."))
    return backbone, profile, release, data.get("in_distribution") is True


def decide(event: Event, oldest: datetime | None) -> str | None:
    """Why a file with this verdict is blocked; None where it is let through."""
    data = event["data"]
    if (
        data.get("status") != "succeeded"
        or data.get("result") not in _PASSING
        or data.get("critical_findings")
    ):
        return f"the verdict is {data.get('verdict')}, the result {data.get('result')}"
    if oldest is not None and _moment(event) < oldest:
        return f"the verdict is of {event['timestamp']}, which is too old"
    return None


class WebhookReceiver:
    """A receiver on loopback for the demo and for trying things out; use as a context manager.

    Register ``url`` and ``secret`` with the service.
    """

    def __init__(self) -> None:
        self.secret = new_secret()
        self._events: dict[str, Event] = {}
        self._arrived = threading.Condition()
        self._server = Receiver("127.0.0.1", 0, self.secret, self._take)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where to send events, on 127.0.0.1; the port is the one that was bound."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/clipvet"

    @property
    def refused(self) -> int:
        """How many events came with a wrong signature."""
        return self._server.refused

    def wait_for(self, inspection_id: str, timeout_s: float) -> Event | None:
        """The verified event about an inspection, or None if none comes in time."""
        with self._arrived:
            self._arrived.wait_for(lambda: inspection_id in self._events, timeout_s)
            return self._events.get(inspection_id)

    def __enter__(self) -> WebhookReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, event: Event) -> None:
        with self._arrived:
            self._events[event["data"]["inspection_id"]] = event
            self._arrived.notify_all()


def listen(arguments: argparse.Namespace) -> int:
    """Receive until Ctrl-C."""
    secret = os.environ.get("CLIPVET_WEBHOOK_SECRET", "")
    try:
        server = Receiver(arguments.host, arguments.port, secret, Kept(arguments.keep).take)
    except (ValueError, OSError) as error:
        print(f"receiver: {error} (secret: CLIPVET_WEBHOOK_SECRET)", file=sys.stderr)
        return USAGE
    print(f"listening on {arguments.host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Let a file through, or block it."""
    try:
        sha256 = sha256_of(arguments.file)
    except OSError as error:
        print(f"receiver: {error}", file=sys.stderr)
        return USAGE
    kept, ends_at = Kept(arguments.keep), time.monotonic() + arguments.wait
    while not (events := kept.about(sha256)):
        if time.monotonic() >= ends_at:
            print(f"blocked: no verdict about {arguments.file} (sha256 {sha256}) has arrived")
            return NO_VERDICT
        time.sleep(_LOOK_S)
    oldest = None
    if arguments.max_age_days is not None:
        oldest = datetime.now(UTC) - timedelta(days=arguments.max_age_days)
    event = counts(events, oldest)
    assert event is not None
    why = decide(event, oldest)
    link = (event["data"].get("links") or {}).get("inspection")
    told = f"sha256 {sha256}, inspection {event['data'].get('inspection_id')}, {link}"
    if why is None:
        print(f"let through: {event['data']['verdict']} at {event['timestamp']} ({told})")
    else:
        print(f"blocked: {why} ({told})")
    for other in events:
        if other is not event:
            about = f"{other['data'].get('verdict')} at {other['timestamp']}"
            print(f"does not count: {about}, inspection {other['data'].get('inspection_id')}")
    return LET_THROUGH if why is None else BLOCKED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"receiver: {message}\n")


def main(given: list[str] | None = None) -> int:
    """The command line; see the top of this file."""
    parser = _Parser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    listening = commands.add_parser("listen", help="receive verdicts until Ctrl-C")
    listening.add_argument("--host", default="127.0.0.1")
    listening.add_argument("--port", type=int, default=8443)
    checking = commands.add_parser("check", help="let a file through, or block it")
    checking.add_argument("file", type=Path)
    checking.add_argument("--wait", type=float, default=0, help="seconds to wait for a verdict")
    checking.add_argument("--max-age-days", type=float, help="an older verdict blocks")
    for command, run in ((listening, listen), (checking, check)):
        command.add_argument("--keep", type=Path, required=True, help="folder of the verdicts")
        command.set_defaults(run=run)
    arguments = parser.parse_args(given)
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
