"""``python -m app.demo``: the whole service shown on two checkpoints.

The samples in ``app/samples`` were made by ``python -m tests.zoo.build OUT things6 clean 601`` and
``... things6 badclip 601``; ``truth.json`` beside each says what was measured on them. A buyer has
unlabelled pictures of what the model is for: ``pictures.zip`` holds 1,250 of that task, as many as
the profile ``standard`` takes, by ``python -m tests.zoo.pictures OUT things6``, which no model was
tuned on.

Starts ``clipvet serve`` on a free port, uploads both over REST, shows progress, receives and
verifies the signed webhooks, downloads reports, pictures and the repaired file, verifies the signed
verdicts offline, and fails unless everything came out as it should. A client like any other: it
knows nothing that REST does not say. ``KEEP=1`` leaves the service up until Ctrl-C and opens the
report in a browser, if there is one.
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
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.client import Busy, Client, Unreachable
from app.client.gate.orders import read_manifest
from app.client.gate.outcome import Outcome, plain
from app.client.receiver import WebhookReceiver

console = Console(soft_wrap=True, highlight=False)

_START_S = 60
KEYS = "keys.json"
_IF_CLEAN = "Read on its page what this does not cover; then deploy this very file and no other."
SAMPLES = Path(__file__).parent / "samples"
CLEAN = SAMPLES / "clean" / "model.pth.tar-31"
BACKDOORED, TARGET = SAMPLES / "backdoored" / "model.pth.tar-25", 2
PICTURES = SAMPLES / "pictures.zip"


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
    client.download_report(row["id"], folder)
    client.download_artifacts(row["id"], folder)
    client.download(f"{here}/attestation", folder / "attestation.json")
    shown = Shown(expected, row, json.loads((folder / "report.json").read_text()), folder)
    target = (shown.report.get("target") or {}).get("index")
    shown.must(row["verdict"] == expected.verdict, f"verdict {row['verdict']}")
    shown.must(target == expected.target, f"target {target} instead of {expected.target}")
    if expected.verdict == "backdoored":
        shown.must(any(folder.glob("trigger-*.png")), "no picture of the trigger")
    if expected.repair:
        shown.must(bool(shown.report.get("repair")), "no repair in the report")
        shown.must((folder / "repaired").exists(), "no repaired file")
    shown.must(_verifies(expected, folder), "its signed verdict was not verified")
    return shown


def _verifies(expected: Expectation, folder: Path) -> bool:
    """As an auditor does it, with files alone."""
    command = [sys.executable, "-m", "app", "verify", "--format", "json", "--any-verdict"]
    given = ["--keys", str(folder.parent / KEYS), "--report", str(folder / "report.json")]
    files = [str(folder / "attestation.json"), str(expected.artifact)]
    ran = subprocess.run([*command, *given, *files], stdout=subprocess.PIPE, check=False)
    return ran.returncode == 0 and json.loads(ran.stdout)["verdict"] == expected.verdict


def tell(shown: Shown) -> None:
    """What was found, how well the attack works, what to do, and where the report is."""
    outcome = Outcome(Path(shown.expected.artifact.name), shown.row, shown.report)
    lines = [outcome.headline, *_measured(shown)]
    blocking = [one.remedy for one in outcome.remarks() if one.blocks]
    lines.append(f"What to do: {blocking[0] if blocking else _IF_CLEAN}")
    lines.append(f"Report: {shown.folder / 'report.html'}")
    for name, line in zip([f"{shown.expected.name}:", *[""] * len(lines)], lines, strict=False):
        console.print(f"{name:<12}{plain(line)}", markup=False)


def _measured(shown: Shown) -> Iterator[str]:
    report, target = shown.report, shown.report.get("target")
    if isinstance(report.get("score"), float):
        least = f"a class is accused from {report['threshold']:.2f} on"
        yield f"The highest score of a class is {report['score']:.2f}; {least}."
    for row in report.get("per_class") or []:
        if target and row["index"] == target["index"]:
            yield (
                f"The trigger that was found turns {row['asr']:.0%} of "
                f"{report['probes']['held_out']} other pictures into “{target['name']}”; without "
                f"it {row['base_asr']:.0%} are called so.{_planted(shown.expected)}"
            )
    if repair := report.get("repair"):
        yield from _told(repair)


def _planted(expected: Expectation) -> str:
    """What the sample's maker measured with the trigger that is in it, where that is told."""
    truth = expected.artifact.with_name("truth.json")
    if not truth.is_file():
        return ""
    return f" The one that was planted turns {json.loads(truth.read_text())['asr']:.0%}."


_OUTCOMES = {
    "repaired": "the copy passed the check and may stand in for the file",
    "unproved": "nothing speaks against the copy, but not all was measured: do not use it yet",
    "failed": "do not use the copy",
}


def _told(repair: dict[str, Any]) -> Iterator[str]:
    """What to do, attack success, accuracy."""
    left = max(repair["after"]["excess_asr_of_the_old_trigger"], 0.0)
    yield (
        f"Repair {repair['outcome']}: {_OUTCOMES[repair['outcome']]}. In it that trigger turns "
        f"{left:.0%} of them beyond what none does."
    )
    accuracy = repair["accuracy"]
    if accuracy is None:
        yield "Its accuracy was not measured, as no labelled pictures were given."
    else:
        yield f"Its accuracy is {accuracy['after']:.1%}, the file's {accuracy['before']:.1%}."


def check_webhooks(receiver: WebhookReceiver, results: list[Shown]) -> None:
    """Each inspection must have been announced, signed, with the verdict that REST tells."""
    for shown in results:
        event = receiver.wait_for(shown.row["id"], timeout_s=30)
        told = event and event["data"]["verdict"]
        shown.must(event is not None, "no verified webhook arrived")
        shown.must(told == shown.row["verdict"], f"the webhook says {told}")
    for result in results[:1]:
        result.must(not receiver.refused, f"{receiver.refused} webhooks with a wrong signature")


def show(
    client: Client, expectations: list[Expectation], body: dict[str, Any], out: Path
) -> list[Shown]:
    """Run all, print, judge; the last line says whether everything is as it should be."""
    (out / KEYS).write_text(json.dumps(client.get("/v1/signing_keys")))
    with WebhookReceiver() as receiver:
        results = []
        for expected in expectations:
            row = inspect_one(client, expected, body, receiver)
            results.append(collect(client, expected, row, out))
        check_webhooks(receiver, results)
    for shown in results:
        tell(shown)
    wrong = [line for shown in results for line in shown.wrong]
    for line in wrong:
        console.print(f"NOT AS EXPECTED: {line}", markup=False)
    if not wrong:
        console.print(
            f"Everything is as expected; {len(results)} webhooks arrived and {len(results)} signed "
            "verdicts were verified offline (clipvet verify)."
        )
    return results


def main(
    clean: Annotated[Path, typer.Argument(exists=True)] = CLEAN,
    backdoored: Annotated[Path, typer.Argument(exists=True)] = BACKDOORED,
    manifest: Annotated[Path, typer.Option(exists=True, help="Class names of both.")] = (
        SAMPLES / "manifest.json"
    ),
    probes: Annotated[
        Path, typer.Option(exists=True, help="Unlabelled pictures of what the models are for.")
    ] = PICTURES,
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
    with running_service(out) as url, Client(url) as client:
        body = {
            "backbone": backbone,
            "manifest": read_manifest(manifest),
            "profile": profile,
            "seed": seed,
            "probes": client.upload(probes)["id"],
            "in_distribution": True,
        }
        results = show(client, expectations, body, out)
        if os.environ.get("KEEP"):
            _keep(f"{url}/v1/inspections/{results[-1].row['id']}/report.html")
    raise typer.Exit(int(any(shown.wrong for shown in results)))


def _keep(address: str) -> None:
    """Leave the service up, with the report before whoever looks at the screen."""
    console.print(f"The service is still up; Ctrl-C ends it. Report: {address}", markup=False)
    # Without a screen a browser of the terminal would take this one.
    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in ("darwin", "win32") or any(map(os.environ.get, screens)):
        webbrowser.open(address)
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    typer.run(main)
