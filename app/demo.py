"""``python -m app.demo``: the whole service shown on two checkpoints.

The samples in ``app/samples`` were made by ``python -m tests.zoo.build OUT things6 clean 601`` and
``... things6 badclip 601``; ``truth.json`` beside each says what was measured on them.

Starts ``clipvet serve`` on a free port, uploads both over REST, shows progress, receives and
verifies the signed webhooks, downloads reports, pictures and the repaired file, and fails unless
everything came out as it should. A client like any other: it knows nothing that REST does not say.
``KEEP=1`` leaves the service up until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.client import Busy, Client, Unreachable
from app.client.gate.orders import read_manifest
from app.client.receiver import WebhookReceiver

console = Console(soft_wrap=True, highlight=False)

_START_S = 60
SAMPLES = Path(__file__).parent / "samples"
CLEAN = SAMPLES / "clean" / "model.pth.tar-31"
BACKDOORED, TARGET = SAMPLES / "backdoored" / "model.pth.tar-25", 2


@dataclass(frozen=True)
class Expectation:
    """One checkpoint of the demo and what must be found in it."""

    name: str
    artifact: Path
    verdict: str
    target: int | None
    repair: bool


@dataclass
class Shown:
    """What came out for one checkpoint; ``wrong`` lists what should have been otherwise."""

    expected: Expectation
    row: dict[str, Any]
    report: dict[str, Any]
    folder: Path
    wrong: list[str] = field(default_factory=list)

    def must(self, claim: bool, otherwise: str) -> None:
        """Note ``otherwise`` as wrong unless the claim holds."""
        if not claim:
            self.wrong.append(f"{self.expected.name}: {otherwise}")


@contextmanager
def running_service(out: Path) -> Iterator[str]:
    """``clipvet serve`` in a process of its own; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Loopback receivers are forbidden by default; this service is ours and gone afterwards.
    opened = {
        "CLIPVET_WEBHOOK_ALLOW_CIDRS": '["127.0.0.0/8"]',
        "CLIPVET_WEBHOOK_ALLOW_HTTP": "true",
        "CLIPVET_POLL_S": "0.5",
    }
    place = ["--port", str(port), "--data-dir", str(out / "data")]
    with (out / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", *place],
            env=os.environ | opened,
            stdout=log,
            stderr=log,
            # Ctrl-C is for us; we pass it on once, when everything else is put away.
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + _START_S
    with Client(url) as client:
        while True:
            try:
                client.get("/readyz")
            except (Busy, Unreachable) as error:
                if process.poll() is not None or time.monotonic() > ends_at:
                    raise SystemExit(f"the service did not start: {error}") from error
                time.sleep(0.2)
            else:
                return


def inspect_one(
    client: Client, expected: Expectation, body: dict[str, Any], receiver: WebhookReceiver
) -> dict[str, Any]:
    """Upload, create, watch with a progress bar; the finished inspection."""
    hook = {"url": receiver.url, "secret": receiver.secret}
    with Progress(
        TextColumn(f"{expected.name:<12}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % {task.description}"),
        TimeElapsedColumn(),
        console=console,
    ) as bars:
        task = bars.add_task("upload", total=1.0)
        upload = client.upload(expected.artifact)
        wanted = body | {"upload_id": upload["id"], "repair": expected.repair, "webhook": hook}
        row = client.create_inspection(wanted)
        for row in client.watch(row["id"]):  # noqa: B020 (the latest view replaces it)
            bars.update(task, completed=row["progress"], description=row["stage"])
    return row


def collect(client: Client, expected: Expectation, row: dict[str, Any], out: Path) -> Shown:
    """Download everything and judge it."""
    folder = out / expected.name
    # Pictures of an earlier demo must not pass for today's.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if row["status"] != "succeeded":
        shown = Shown(expected, row, {}, folder)
        shown.must(claim=False, otherwise=f"ended as {row['status']}: {row['error']}")
        return shown
    here = f"/v1/inspections/{row['id']}"
    for name in ("report.json", "report.html"):
        client.download(f"{here}/{name}", folder / name)
    for item in client.get(f"{here}/artifacts")["items"]:
        client.download(f"{here}/artifacts/{item['name']}", folder / item["name"])
    shown = Shown(expected, row, json.loads((folder / "report.json").read_text()), folder)
    target = (shown.report.get("target") or {}).get("index")
    shown.must(row["verdict"] == expected.verdict, f"verdict {row['verdict']}")
    shown.must(target == expected.target, f"target {target} instead of {expected.target}")
    if expected.verdict == "backdoored":
        shown.must(any(folder.glob("trigger-*.png")), "no picture of the trigger")
    if expected.repair:
        shown.must(bool(shown.report.get("repair")), "no repair in the report")
        shown.must((folder / "repaired").exists(), "no repaired file")
    return shown


def print_results(results: list[Shown]) -> None:
    """Verdicts, target, excess success, repair, and where everything lies."""
    table = Table("checkpoint", "verdict", "result", "target", "excess ASR", "seconds")
    for shown in results:
        summary, target = shown.row["summary"] or {}, shown.report.get("target")
        excess, seconds = (
            summary.get("excess_asr"),
            (shown.report.get("budget") or {}).get("seconds"),
        )
        table.add_row(
            shown.expected.name,
            str(shown.row["verdict"] or shown.row["status"]),
            str(shown.row["result"]),
            f"{target['index']} {target['name']}" if target else "–",
            f"{excess:.1%}" if isinstance(excess, float) else "–",
            f"{seconds:.0f}" if isinstance(seconds, int | float) else "–",
        )
    console.print(table)
    for shown in results:
        if shown.report.get("repair"):
            console.print(f"repair of {shown.expected.name}:")
            for line in _told(shown.report["repair"]):
                console.print(f"  {line}", markup=False)
        for path in sorted(shown.folder.iterdir()):
            console.print(f"  {path}", markup=False)


_OUTCOMES = {
    "repaired": "the copy passed the check and may stand in for the file",
    "unproved": "nothing speaks against the copy, but not all was measured: do not use it yet",
    "failed": "do not use the copy",
}


def _told(repair: dict[str, Any]) -> Iterator[str]:
    """Three lines: what to do, attack success, accuracy."""
    yield f"{repair['outcome']}: {_OUTCOMES[repair['outcome']]}"
    before, after = repair["before"], repair["after"]
    yield (
        f"the trigger that was found moves {after['excess_asr_of_the_old_trigger']:.1%} of "
        f"pictures, in the delivered file {before['excess_asr']:.1%}"
    )
    accuracy = repair["accuracy"]
    if accuracy is None:
        yield "accuracy: not measured, as there are no labelled pictures"
    else:
        yield f"accuracy: {accuracy['after']:.1%}, of the delivered file {accuracy['before']:.1%}"


def check_webhooks(receiver: WebhookReceiver, results: list[Shown]) -> None:
    """Each inspection must have been announced, signed."""
    for shown in results:
        event = receiver.wait_for(shown.row["id"], timeout_s=30)
        shown.must(event is not None, "no verified webhook arrived")
        if event is not None:
            console.print(
                f"webhook received and verified: {event['type']} for {shown.expected.name}, "
                f"verdict {event['data']['verdict']}"
            )
    for result in results[:1]:
        result.must(not receiver.refused, f"{receiver.refused} webhooks with a wrong signature")


def show(client: Client, expectations: list[Expectation], body: dict[str, Any], out: Path) -> int:
    """Run both, print, judge; the exit code."""
    with WebhookReceiver() as receiver:
        results = []
        for expected in expectations:
            row = inspect_one(client, expected, body, receiver)
            results.append(collect(client, expected, row, out))
        check_webhooks(receiver, results)
    print_results(results)
    wrong = [line for shown in results for line in shown.wrong]
    for line in wrong:
        console.print(f"NOT AS EXPECTED: {line}", markup=False)
    if not wrong:
        console.print("everything is as expected")
    return 1 if wrong else 0


def main(
    clean: Annotated[Path, typer.Argument(exists=True)] = CLEAN,
    backdoored: Annotated[Path, typer.Argument(exists=True)] = BACKDOORED,
    manifest: Annotated[Path, typer.Option(exists=True, help="Class names of both.")] = (
        SAMPLES / "manifest.json"
    ),
    target: Annotated[int, typer.Option(help="The class that the backdoor aims at.")] = TARGET,
    backbone: str = "pocket",
    profile: str = "quick",
    seed: int = 0,
    out: Path = Path("clipvet-demo"),
) -> None:
    """Show the service on a clean and a backdoored checkpoint; exit 0 if both come out right."""
    out.mkdir(parents=True, exist_ok=True)
    expectations = [
        Expectation("clean", clean, "clean", None, repair=False),
        Expectation("backdoored", backdoored, "backdoored", target, repair=True),
    ]
    body = {
        "backbone": backbone,
        "manifest": read_manifest(manifest),
        "profile": profile,
        "seed": seed,
    }
    with running_service(out) as url, Client(url) as client:
        console.print(f"service at {url}, log in {out / 'service.log'}")
        code = show(client, expectations, body, out)
        if os.environ.get("KEEP"):
            console.print(f"still up at {url}/docs; Ctrl-C ends it")
            _sleep_until_interrupted()
    raise typer.Exit(code)


def _sleep_until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    typer.run(main)
