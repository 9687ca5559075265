"""Exit codes and messages of the gate, each against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from app.client.files import as_one_file, sha256_of
from app.client.gate.exits import exit_code
from tests.client.gating import Gate
from tests.hostile import assemble
from tests.hostile.boxes import torch_zip
from tests.support.http_api import served
from tests.support.ledger import Ledger, settings_in
from tests.support.processes import Embedded


@pytest.mark.parametrize(
    ("verdict", "more", "code", "result"),
    [
        ("clean", [], 0, "pass"),
        ("suspicious", [], 1, "fail"),
        ("suspicious", ["--fail-on", "backdoored"], 0, "warn"),
        ("backdoored", [], 1, "fail"),
        ("backdoored", ["--fail-on", "backdoored"], 1, "fail"),
        ("inconclusive", ["--fail-on", "backdoored"], 3, "fail"),
    ],
)
def test_verdicts(
    gate: Gate, checkpoint: Path, verdict: str, more: list[str], code: int, result: str
) -> None:
    told = gate.submit(checkpoint, *more, verdict=verdict)
    assert told.code == code
    lines = [line.split() for line in told.out.splitlines()]
    assert ["verdict", verdict] in lines
    assert ["result", result] in lines
    assert (f"verdict-{verdict}" in told.out) == (result != "pass")
    assert ("next step: Do not deploy it" in told.out) == (result != "pass")
    # Also where the gate is shut the link can be clicked: on one line, whole.
    (link,) = [line[1] for line in lines if line[:1] == ["report"]]
    assert link.startswith(f"{gate.url}/v1/inspections/insp_")
    assert link.endswith("/report.html")
    assert (link in told.err.replace("\n", " ").split()) == (code != 0)


def test_a_file_that_runs_code(gate: Gate, tmp_path: Path) -> None:
    hostile = tmp_path / "model.pth"
    hostile.write_bytes(torch_zip(assemble.coop(assemble.system())))
    told = gate.submit(hostile)
    assert told.code == 1
    assert "this file runs code when it is loaded: refuse it" in told.err
    assert "critical  pickle-code-execution" in told.out
    assert "next step: Do not load this file anywhere." in told.out


def test_a_file_that_is_no_checkpoint(gate: Gate, tmp_path: Path) -> None:
    unreadable = tmp_path / "model.pth"
    unreadable.write_bytes(b"these are notes about a model" * 40)
    told = gate.submit(unreadable)
    assert told.code == 3
    assert "no verdict could be given" in told.err
    assert "not-a-checkpoint" in told.out or "unsupported-format" in told.out


def test_our_own_fault(gate: Gate, checkpoint: Path) -> None:
    error = {"kind": "bug", "code": "inspection_failed", "message": "as told"}
    told = gate.submit(checkpoint, error=error)
    assert told.code == 2
    assert "the inspection ended as failed: inspection_failed: as told" in told.err
    assert f"look at {gate.url}/v1/inspections/insp_" in told.err
    assert "next step: Nothing is known about the model." in told.out


def test_a_wait_that_is_too_long(gate: Gate, checkpoint: Path) -> None:
    told = gate.submit(checkpoint, "--timeout", "0.3", seconds=1.5)
    assert told.code == 5
    assert told.out == ""
    assert "after 0 s; it goes on, look at " in told.err
    assert f"{gate.url}/v1/inspections/insp_" in told.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--label", "no value"], "--label has the form NAME=VALUE"),
        (["--label", "a=1", "--label", "a=2"], "gives 'a' twice"),
        (["--write", "pdf=x"], "--write knows table, json, sarif, junit, github"),
        (["--probes", "/no/such/folder"], "neither builtin nor a folder or zip"),
        (["--repair", "--labelled", "/no/such/folder"], "is no folder or zip"),
        (["--labelled", "/"], "labelled pictures serve a repair, and none is asked for"),
        (["--repair", "--pairs", "/no/such.tar"], "is no folder, zip or tar"),
        (["--pairs", "/"], "pairs serve a repair, and none is asked for"),
        (["--policy", "nobody-made-it"], "no policy 'nobody-made-it'"),
        (["--policy", "name@last"], "NAME@VERSION or a file"),
        (["--webhook", "http://10.0.0.1/"], "forbidden_webhook_target"),
        (["--targets", "1"], "targets"),
        (["--backbone", "ViT-B/1"], "unknown_backbone"),
        (["--member", "\x01"], "invalid_request"),
    ],
)
def test_wrong_usage(gate: Gate, checkpoint: Path, more: list[str], said: str) -> None:
    told = gate.submit(checkpoint, *more)
    assert told.code == 4
    assert said in " ".join(told.err.replace("│", " ").split())
    assert told.out == ""


def test_forms_that_need_the_end_are_refused_without_a_wait(gate: Gate, checkpoint: Path) -> None:
    given = ["--url", gate.url, "--backbone", "pocket", "--classes", str(checkpoint)]
    for more in (["--format", "sarif"], ["--policy", "p"], ["--write", "json=x"], ["--out", "x"]):
        assert gate.run("submit", str(checkpoint), *given, *more).code == 4


def test_without_a_wait_the_gate_is_open_and_says_where_to_look(
    gate: Gate, checkpoint: Path, tmp_path: Path
) -> None:
    classes = tmp_path / "classes"
    classes.write_text("a\nb\nc\nd\ne\n")
    given = ["--url", gate.url, "--backbone", "pocket", "--classes", str(classes)]
    told = gate.run("submit", str(checkpoint), *given)
    assert told.code == 0
    assert f"look at     {gate.url}/v1/inspections/insp_" in told.out


def test_a_wrong_token_is_wrong_usage(gate: Gate, checkpoint: Path, tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path / "locked", api_token="the right one"))
    with served(ledger) as gate.url:
        told = gate.submit(checkpoint, "--token", "another")
        assert (told.code, "unauthorized" in told.err) == (4, True)
        told = gate.submit(checkpoint, "--token", "the right one", "--timeout", "0")
        assert told.code == 5
    ledger.close()


def test_a_service_with_a_fault_is_an_error(gate: Gate, checkpoint: Path, tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path / "faulty"))
    with ledger.context.database.begin() as session:
        session.connection().exec_driver_sql("DROP TABLE idempotency_keys")
    with served(ledger) as gate.url:
        told = gate.submit(checkpoint)
    ledger.close()
    assert told.code == 2
    assert told.out == ""


def test_a_service_that_is_not_there_is_an_error(gate: Gate, checkpoint: Path) -> None:
    gate.url = "http://127.0.0.1:9"
    told = gate.submit(checkpoint, "--format", "github")
    assert told.code == 2
    assert told.out.startswith("::error title=clipvet,file=")
    assert "does not answer" in told.err


def test_what_is_told_of_the_pictures_and_labels_arrives(
    gate: Gate, service: Embedded, checkpoint: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"a")
    more = ["--probes", str(pictures), "--in-distribution", "--label", "vendor=Acme", "--seed", "7"]
    told = gate.submit(checkpoint, *more, "--format", "json", verdict="clean")
    row = json.loads(told.out)
    assert (row["labels"], row["seed"], row["exit_code"]) == ({"vendor": "Acme"}, 7, 0)
    report = service.get(f"/v1/inspections/{row['id']}/report.json")
    assert report["probes"]["in_distribution"]
    assert report["probes"]["source"] == "zip"


def test_labelled_pictures_are_sent_as_one_zip(
    gate: Gate, service: Embedded, checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / "labelled" / name).mkdir(parents=True)
        (tmp_path / "labelled" / name / "1.png").write_bytes(name.encode())
    more = ["--repair", "--labelled", str(tmp_path / "labelled"), "--format", "json"]
    row = json.loads(gate.submit(checkpoint, *more, verdict="clean").out)
    with as_one_file(tmp_path / "labelled") as packed:
        told = f"labelled: {packed.stat().st_size} bytes, sha256 {sha256_of(packed)}"
    assert told in service.get(f"/v1/inspections/{row['id']}/report.json")["limits"]


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_pairs_are_sent_as_they_are_or_as_one_zip(
    gate: Gate, service: Embedded, checkpoint: Path, tmp_path: Path, form: str
) -> None:
    given = tmp_path / form
    folder = given if form == "folder" else tmp_path / "unpacked"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"a picture")
    (folder / "1.txt").write_bytes(b"what is said of it")
    if form == "tar":
        with tarfile.open(given, "w") as box:
            box.add(folder, ".")
    more = ["--repair", "--pairs", str(given), "--format", "json"]
    row = json.loads(gate.submit(checkpoint, *more, verdict="clean").out)
    with as_one_file(given) as sent:
        told = f"pairs: {sent.stat().st_size} bytes, sha256 {sha256_of(sent)}"
    assert told in service.get(f"/v1/inspections/{row['id']}/report.json")["limits"]


def test_names_that_nobody_states_are_left_to_the_file(
    gate: Gate, tmp_path: Path, service: Embedded
) -> None:
    """The reader's child and its report are the real ones: here it finds code, not names."""
    hostile = tmp_path / "model.pth"
    hostile.write_bytes(torch_zip(assemble.coop(assemble.system())))
    given = ["--url", gate.url, "--backbone", "pocket", "--wait", "--format", "json"]
    told = gate.run("submit", str(hostile), *given)
    assert told.code == 1
    assert json.loads(told.out)["summary"]["critical_findings"] == ["pickle-code-execution"]


def test_a_folder_and_a_class_list_beside_a_manifest(
    gate: Gate, checkpoint: Path, tmp_path: Path
) -> None:
    """As `inspect` takes them: the list takes the place of the manifest's names."""
    delivery, classes = tmp_path / "delivery", tmp_path / "classes"
    (delivery / "prompt_learner").mkdir(parents=True)
    (delivery / "prompt_learner" / "model.pth.tar-1").write_bytes(checkpoint.read_bytes())
    classes.write_text("one\ntwo\nthree\nfour\nfive\n")
    told = gate.submit(
        delivery, "--classes", str(classes), "--format", "json", verdict="backdoored"
    )
    row = json.loads(told.out)
    assert row["summary"]["target"] == {"index": 0, "name": "one"}
    assert told.code == 1


@pytest.mark.parametrize("verdict", ["clean", "backdoored"])
def test_all_that_an_auditor_keeps_is_saved(
    gate: Gate, service: Embedded, checkpoint: Path, tmp_path: Path, verdict: str
) -> None:
    out = tmp_path / "new" / "out"
    told = gate.submit(checkpoint, "--out", str(out), verdict=verdict)
    assert told.code == (0 if verdict == "clean" else 1)
    names = {path.name for path in out.iterdir()}
    assert {"record.json", "report.json", "report.html", "attestation.json"} <= names
    assert ("trigger-0.png" in names) == (verdict == "backdoored")
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(service.get("/v1/signing_keys")))
    given = ["--keys", str(keys), "--report", str(out / "report.json")]
    verified = gate.run("verify", str(out / "attestation.json"), str(checkpoint), *given)
    assert verified.code == told.code
    page = (out / "report.html").read_bytes()
    again = [sys.executable, "-m", "app", "page", str(out)]
    subprocess.run(again, check=True, capture_output=True)
    assert (out / "report.html").read_bytes() == page
    told = gate.submit(checkpoint, "--out", str(out), verdict=verdict)
    assert (told.code, "is not empty" in told.err) == (4, True)
    assert (out / "report.html").read_bytes() == page


def test_the_installed_gate_needs_the_client_alone(
    installed: Path, service: Embedded, checkpoint: Path, tmp_path: Path
) -> None:
    classes, manifest = tmp_path / "classes", tmp_path / "manifest.json"
    classes.write_text("a\nb\nc\nd\ne\n")
    manifest.write_text(json.dumps({"stand_in": {"verdict": "backdoored"}}))
    script = str(installed.with_name("clipvet-gate"))
    given = [str(checkpoint), "--backbone", "pocket", "--classes", str(classes)]
    more = ["--manifest", str(manifest), "--set", "seed=3", "--set", "profile=quick"]
    environment = {"CLIPVET_URL": service.url, "PATH": os.environ["PATH"]}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    save = ["--write", f"junit={tmp_path / 'x.xml'}", "--out", str(tmp_path / "saved")]
    pairs = ["--repair", "--pairs", str(classes)]
    ran = run(*given, *more, *pairs, "--format", "json", *save)
    assert ran.returncode == 1, ran.stderr
    row = json.loads(ran.stdout)
    assert (row["seed"], row["profile"], row["verdict"]) == (3, "quick", "backdoored")
    assert "the model is backdoored; it aims at class 0, a" in ran.stderr
    assert (tmp_path / "x.xml").read_text().startswith("<?xml")
    assert (tmp_path / "saved" / "attestation.json").is_file()
    assert "pairs: 10 bytes" in (tmp_path / "saved" / "report.json").read_text()
    assert "--pairs says which pictures" in run(*given, "--set", "pairs=upl_1").stderr
    environment["PYTHONIOENCODING"] = "ascii"
    strange = shutil.copy(checkpoint, tmp_path / "modèle.pth")
    ran = run(str(strange), *given[1:])
    assert (ran.returncode, "mod\\xe8le.pth" in ran.stdout) == (0, True)
    assert run(*given, "--profile", "slow").returncode == 4
    assert run("--no-such-option").returncode == 4
    assert run("--version").stdout.startswith("clipvet-gate 0.1.0")


def test_the_version_is_told() -> None:
    command = [sys.executable, "-m", "app", "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "clipvet 0.1.0\n"


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_no_verdict_is_an_error(status: str) -> None:
    assert exit_code(status, None, None, 0) == 2
