"""clipvet verify, bom and keys: exit codes, and messages that say what to do next."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.attestation.keyring import Keyring
from tests.support.attested import ARTIFACT, FINISHED, RESULTS, report_of, signed

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPVET_SIGNING_KEYS", str(tmp_path / "ring"))
    monkeypatch.setenv("CLIPVET_DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["clipvet", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        shown = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, shown.out, shown.err

    return command


@pytest.fixture
def folder(tmp_path: Path, run: Run) -> Path:
    """An artifact, its keys, and an attestation of each verdict."""
    ring = Keyring(tmp_path / "ring")
    ring.rotate(FINISHED - timedelta(days=1))
    (tmp_path / "model.pth").write_bytes(ARTIFACT)
    (tmp_path / "other.pth").write_bytes(ARTIFACT + b".")
    for verdict in RESULTS:
        (tmp_path / f"{verdict}.json").write_bytes(signed(ring, verdict))
    assert run("keys", "export", "--out", "keys.json")[0] == 0
    return tmp_path


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("clean", 0), ("suspicious", 0), ("backdoored", 1), ("inconclusive", 3), ("code", 1)],
)
def test_a_genuine_attestation_exits_by_its_verdict(
    folder: Path, run: Run, verdict: str, code: int
) -> None:
    arguments = ("verify", f"{verdict}.json", "model.pth", "--keys", "keys.json")
    got, out, err = run(*arguments)
    assert (got, err) == (code, "")
    told = "inconclusive" if verdict == "code" else verdict
    assert told in out and "ViT-B-16/openai" in out and "insp_1" in out
    assert run(*arguments, "--any-verdict")[0] == 0
    shown = json.loads(run(*arguments, "--format", "json")[1])
    assert (shown["genuine"], shown["verdict"]) == (True, told)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("clean.json", "other.pth"), "other_file"),
        (("edited.json", "model.pth"), "bad_signature"),
        (("strange.json", "model.pth"), "unknown_key"),
        (("model.pth", "clean.json"), "malformed"),
        (("clean.json", "model.pth", "--max-age", "0.0001"), "stale"),
        (("clean.json", "model.pth", "--report", "other.pth"), "other_report"),
    ],
)
def test_what_proves_nothing_exits_1_and_says_why(
    folder: Path, run: Run, arguments: tuple[str, ...], code: str
) -> None:
    document = json.loads((folder / "backdoored.json").read_text())
    document["payload"] = json.loads((folder / "clean.json").read_text())["payload"]
    (folder / "edited.json").write_text(json.dumps(document))
    (folder / "strange.json").write_bytes(signed(Keyring(folder / "strange")))
    got, out, err = run("verify", *arguments, "--keys", "keys.json", "--any-verdict")
    assert (got, out) == (1, "")
    assert f"refused ({code}): " in err
    assert "next step: " in err
    got, out, _ = run("verify", *arguments, "--keys", "keys.json", "--format", "json")
    told = json.loads(out)
    assert (got, told["genuine"], told["code"], bool(told["remedy"])) == (1, False, code, True)


def test_no_name_reaches_the_terminal_as_a_command(folder: Path, run: Run) -> None:
    def rename(told: dict[str, Any]) -> None:
        told["subject"][0]["name"] = "m\ud800\x1b[2J.pth"
        told["predicate"]["target"] = {"index": 0, "name": "\x1b[31m\ud800"}

    (folder / "odd.json").write_bytes(signed(Keyring(folder / "ring"), edit=rename))
    for artifact in ("model.pth", "other.pth"):
        for format_ in ("table", "json"):
            arguments = ("odd.json", artifact, "--keys", "keys.json", "--format", format_)
            code, out, err = run("verify", *arguments)
            assert code == (artifact == "other.pth")
            assert "\x1b" not in out + err


def test_a_report_is_held_against_the_attestation(folder: Path, run: Run) -> None:
    (folder / "report.json").write_bytes(report_of())
    arguments = ("verify", "clean.json", "model.pth", "--keys", "keys.json")
    assert run(*arguments, "--report", "report.json", "--max-age", "100000")[0] == 0


@pytest.mark.parametrize(
    ("policy", "code", "said"),
    [
        ({}, 0, "verdict passed"),
        ({"profiles": ["standard"], "backbones": ["ViT-B-16/openai"], "min_engine": "0.1"}, 0, ""),
        ({"max_age_days": 0.001}, 1, "age failed: the verdict is "),
        ({"profiles": ["thorough"]}, 1, "profile failed: the profile is standard"),
        ({"backbones": ["ViT-L-14/openai"]}, 1, "backbone failed"),
        ({"min_engine": "9"}, 1, "engine failed"),
        ({"own_bank": True}, 0, "verdict passed"),
        ({"min_p_value": 0.5}, 1, "p_value failed"),
        ({"max_score": 0.1}, 1, "score failed"),
        ({"min_assembly": "proved"}, 1, "assembly failed"),
    ],
)
def test_a_policy_judges_what_was_signed_offline(
    folder: Path, run: Run, policy: dict[str, Any], code: int, said: str
) -> None:
    (folder / "policy.json").write_text(json.dumps({"name": "p"} | policy))
    arguments = ("verify", "clean.json", "model.pth", "--keys", "keys.json")
    got, out, err = run(*arguments, "--policy", "policy.json")
    assert (got, err) == (code, "")
    assert said in out
    told = json.loads(run(*arguments, "--policy", "policy.json", "--format", "json")[1])
    assert told["result"] == ("pass" if code == 0 else "fail")


@pytest.mark.parametrize(
    ("verdict", "policy", "code"),
    [
        ("suspicious", {}, 1),
        ("suspicious", {"verdicts": ["clean", "suspicious"]}, 0),
        ("inconclusive", {}, 3),
        ("code", {"verdicts": ["inconclusive"]}, 1),
    ],
)
def test_a_policy_takes_the_place_of_the_signed_result_but_passes_no_code(
    folder: Path, run: Run, verdict: str, policy: dict[str, Any], code: int
) -> None:
    (folder / "policy.json").write_text(json.dumps({"name": "p"} | policy))
    arguments = ("verify", f"{verdict}.json", "model.pth", "--keys", "keys.json")
    assert run(*arguments, "--policy", "policy.json")[0] == code


def test_what_is_not_signed_a_policy_reads_from_the_report(folder: Path, run: Run) -> None:
    """A low finding is in the report alone."""
    (folder / "report.json").write_bytes(report_of())
    arguments = ("verify", "clean.json", "model.pth", "--keys", "keys.json", "--policy", "p.json")
    for most, code in (("low", 0), ("info", 1)):
        (folder / "p.json").write_text(json.dumps({"name": "p", "max_severity": most}))
        got, _, err = run(*arguments)
        assert (got, "give --report" in " ".join(err.replace("│", " ").split())) == (4, True)
        got, out, _ = run(*arguments, "--report", "report.json")
        assert (got, "unusual-dtype" in out) == (code, code == 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("clean.json", "model.pth"),
        ("clean.json", "model.pth", "--keys", "keys.json", "--policy", "keys.json"),
        ("clean.json", "model.pth", "--keys", "keys.json", "--policy", "model.pth"),
        ("clean.json", "model.pth", "--keys", "model.pth"),
        ("clean.json", "model.pth", "--keys", "nowhere.json"),
        ("clean.json", ".", "--keys", "keys.json"),
        ("clean.json", "model.pth", "--keys", "keys.json", "--max-age", "-1"),
    ],
)
def test_usage_errors_exit_4(folder: Path, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("verify", *arguments)[0] == 4


def test_rotation_and_revocation_reach_the_verifier(folder: Path, run: Run) -> None:
    arguments = ("verify", "clean.json", "model.pth", "--keys", "keys.json")
    old = json.loads((folder / "keys.json").read_text())["keys"][0]["keyid"]
    code, out, err = run("keys", "rotate", "--valid-days", "30")
    assert (code, "active" in out, "export" in err) == (0, True, True)
    run("keys", "export", "--out", "keys.json")
    # Signed before the rotation, within the time of its key.
    assert run(*arguments)[0] == 0
    assert run("keys", "revoke", old[:16], "--reason", "the disk was stolen")[0] == 0
    assert run(*arguments)[0] == 0, "the old list knows of no revocation"
    run("keys", "export", "--out", "keys.json")
    code, _, err = run(*arguments)
    assert code == 1
    assert "revoked_key" in err and "the disk was stolen" in err
    listed = json.loads(run("keys", "list", "--format", "json")[1])
    assert [key["status"] for key in listed] == ["revoked", "active"]


def test_a_revoked_key_that_was_in_use_is_replaced(folder: Path, run: Run) -> None:
    old = json.loads((folder / "keys.json").read_text())["keys"][0]["keyid"]
    code, out, _ = run("keys", "revoke", old, "--reason", "stolen")
    assert (code, len(out.splitlines())) == (0, 2)
    assert Keyring(folder / "ring").active(datetime.now(UTC)).keyid != old
    assert run("keys", "revoke", "0000", "--reason", "none")[0] == 2
    (folder / "ring" / "keys.json").write_text("{}")
    code, _, err = run("keys", "list")
    assert (code, "keys.json" in err) == (2, True)


def test_processes_that_start_together_make_one_key(tmp_path: Path) -> None:
    settings = {"CLIPVET_SIGNING_KEYS": str(tmp_path / "ring")}
    run = [sys.executable, "-m", "app", "keys", "export"]
    started = [
        subprocess.Popen(run, env=os.environ | settings, cwd=tmp_path, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    shown = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0] * 4
    assert len(shown) == len(list((tmp_path / "ring").glob("*.pem"))) == 1


def test_a_bom_is_made_of_a_report(folder: Path, run: Run) -> None:
    body = report_of("backdoored")
    (folder / "report.json").write_bytes(body)
    code, out, _ = run("bom", "report.json")
    assert code == 0
    assert run("bom", "report.json", "--out", "bom.json")[0] == 0
    assert (folder / "bom.json").read_text() == out
    properties = json.loads(out)["metadata"]["component"]["properties"]
    sha256 = hashlib.sha256(body).hexdigest()
    assert {"name": "clipvet:report_sha256", "value": sha256} in properties
    assert run("bom", "model.pth")[0] == 4
