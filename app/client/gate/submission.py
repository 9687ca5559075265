"""The way through the gate: send, wait, ask the policy, tell what came out, exit by it.

Knows the client, not how a command line is written. What is told goes to stdout, whatever happens
on the way to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..api import Client
from ..errors import ApiError, Busy, ClipvetError, ServiceFault
from ..transport import Json
from . import github, junit, sarif, table
from .exits import EXIT_ERROR, EXIT_TIMEOUT, EXIT_USAGE
from .orders import read_manifest
from .outcome import Outcome, plain


@dataclass(frozen=True, slots=True)
class Submission:
    """What to send, how long to wait, and how to tell what came out.

    Attributes:
        asked: of ``Client.inspect``: backbone, manifest, labels, webhook and any option.
        pictures: by option (probes, labelled, pairs) a folder or archive of them.
        copies: files to write besides, by format.
        policy: a name that the service knows, NAME@VERSION, or a file; None for ``fail_on`` alone.
        out: a folder for all that a finished inspection leaves; new, or empty.
    """

    artifact: Path
    asked: dict[str, Any]
    pictures: dict[str, Path] = field(default_factory=dict)
    wait: bool = True
    timeout_s: float | None = None
    format: str = "table"
    copies: dict[str, Path] = field(default_factory=dict)
    policy: str | None = None
    out: Path | None = None


class Watcher(Protocol):
    """Whoever looks at it on the way."""

    def sent(self, done: int) -> None:
        """So many bytes of the artifact have arrived."""

    def now(self, row: Json) -> None:
        """The inspection, as it stands."""

    def stop(self) -> None:
        """Something else is to be told."""


def run(url: str, token: str | None, wanted: Submission, watcher: Watcher) -> int:
    """Submit, print, and the exit code, also of all that goes wrong."""
    try:
        for file in wanted.copies.values():
            file.unlink(missing_ok=True)  # An earlier run's must not stand for this one's.
        try:
            with Client(url, token) as client:
                outcome = submit(client, wanted, watcher)
        finally:
            watcher.stop()
    except TimeoutError as error:
        return _fail(wanted, str(error), EXIT_TIMEOUT)
    except ApiError as error:
        is_ours = isinstance(error, Busy | ServiceFault) or error.status >= 500
        return _fail(wanted, str(error), EXIT_ERROR if is_ours else EXIT_USAGE)
    except ClipvetError as error:
        return _fail(wanted, str(error), EXIT_ERROR)
    except (ValueError, OSError) as error:
        return _fail(wanted, str(error), EXIT_USAGE)
    try:
        for name, file in wanted.copies.items():
            file.write_text(tell(outcome, name) + "\n", encoding="utf-8")
    except OSError as error:
        return _fail(wanted, str(error), EXIT_USAGE)
    _print(tell(outcome, wanted.format))
    if not outcome.is_open:
        print(f"clipvet: {outcome.headline}; look at {outcome.page}", file=sys.stderr)
    return outcome.exit_code


def submit(client: Client, wanted: Submission, watcher: Watcher) -> Outcome:
    """What came out; raises what the client raises.

    Raises:
        TimeoutError: the wait was longer than allowed.
        ValueError, OSError: something here cannot be sent.
    """
    # Before anything is sent: a slip of the pen is no reason to wait for an inspection.
    policy = None if wanted.policy is None else _policy(client, wanted.policy)
    if wanted.out is not None:
        _make_empty(wanted.out)
    asked = wanted.asked | wanted.pictures
    row = client.inspect(wanted.artifact, progress=watcher.sent, **asked)
    if not wanted.wait:
        return Outcome(wanted.artifact, row, links=_links(client, row), waited=False)
    try:
        for row in client.watch(row["id"], wanted.timeout_s):  # noqa: B020 (the newest view counts)
            watcher.now(row)
    except TimeoutError as error:
        where = client.url_of(row["links"]["self"])
        raise TimeoutError(f"{error}; it goes on, look at {where}") from error
    report: Json = {}
    evaluation = None
    if row["status"] == "succeeded":
        report = client.report(row["id"])
        if policy is not None:
            evaluation = client.evaluate(row["id"], policy)
        if wanted.out is not None:
            client.download_all(row["id"], wanted.out)
    return Outcome(wanted.artifact, row, report, evaluation, _links(client, row, evaluation))


def tell(outcome: Outcome, form: str) -> str:
    """The outcome in one of ``FORMATS``."""
    forms: dict[str, Callable[[Outcome], str]] = {
        "table": table.render,
        "json": lambda one: json.dumps(one.to_json(), indent=2),
        "sarif": sarif.render,
        "junit": junit.render,
        "github": github.render,
    }
    return forms[form](outcome)


def _policy(client: Client, given: str) -> str | Json:
    """Of a file its content, else the name with the version that is the newest now.

    A file is what is written as one: a name must not become whatever lies in the current folder.
    """
    if "/" in given or given.endswith(".json"):
        document = read_manifest(Path(given))
        client.check_policy(document)
        return document
    name, _, version = given.partition("@")
    if version and not version.isdecimal():
        raise ValueError(f"--policy takes NAME, NAME@VERSION or a file, not {given!r:.200}")
    known = client.policy(name, int(version) if version else None)
    return f"{known['name']}@{known['version']}"


def _make_empty(folder: Path) -> None:
    """Nothing of an earlier inspection may stand beside this one's."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"--out {folder} is not empty; give a new folder")


def _links(client: Client, row: Json, evaluation: Json | None = None) -> dict[str, str]:
    """Of the page the one under the policy, where the service keeps that."""
    links = {name: client.url_of(link) for name, link in row["links"].items()}
    policy = (evaluation or {}).get("policy", {})
    if policy.get("version"):
        links["report_html"] += f"?policy={policy['name']}&version={policy['version']}"
    return links


def _fail(wanted: Submission, message: str, code: int) -> int:
    told = plain(message)
    if wanted.format == "github":
        _print(github.command("error", "clipvet", told, str(wanted.artifact)))
    print(f"clipvet: {told}", file=sys.stderr)
    return code


def _print(text: str) -> None:
    """Also where the terminal's encoding lacks a letter: that is no reason to tell nothing."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
