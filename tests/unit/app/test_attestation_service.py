"""Signed verdicts over REST: signed once, exactly the stored report, refused where it is not that."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.attestation.keyring import Keyring
from app.attestation.published import KeyList
from app.attestation.statements import PREDICATES
from app.attestation.verifying import Wanted, verify
from app.db.base import utcnow
from app.models import Inspection, Report
from tests.support.attested import ARTIFACT, RESULTS, SHA256, finished
from tests.support.ledger import Ledger, settings_in


def keyring_of(ledger: Ledger) -> Keyring:
    return Keyring(ledger.settings.signing_dir)


def published(ledger: Ledger) -> KeyList:
    return KeyList.parse(ledger.api.get("/v1/signing_keys").content)


def wanted(report_sha256: str | None = None) -> Wanted:
    return Wanted(SHA256, utcnow(), max_age=timedelta(days=1), report_sha256=report_sha256)


@pytest.mark.parametrize("verdict", list(RESULTS))
def test_every_verdict_can_be_had_signed(ledger: Ledger, verdict: str) -> None:
    here = f"/v1/inspections/{finished(ledger, verdict)}"
    report = ledger.api.get(f"{here}/report.json").content
    row = ledger.api.get(here).json()
    demands = wanted(report_sha256=hashlib.sha256(report).hexdigest())
    for predicate in PREDICATES:
        answer = ledger.api.get(f"{here}/attestation", params={"predicate": predicate})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/vnd.dsse.envelope.v1+json"
        assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
        signed = verify(answer.content, published(ledger), demands).signed
        assert signed.inspection_id == row["id"]
        if predicate == "backdoor-inspection":
            assert (signed.verdict, signed.result) == (row["verdict"], row["result"])
    assert ledger.api.get(row["links"]["attestation"]).status_code == 200
    assert ledger.api.get(row["links"]["bom"]).json()["bomFormat"] == "CycloneDX"


def test_it_is_signed_once_and_stays_the_same(ledger: Ledger) -> None:
    here = f"/v1/inspections/{finished(ledger)}"
    first = ledger.api.get(f"{here}/attestation").content
    keyring_of(ledger).rotate(utcnow())
    assert ledger.api.get(f"{here}/attestation").content == first
    bundle = ledger.api.get(f"{here}/attestations.intoto.jsonl")
    assert bundle.headers["Content-Type"].startswith("application/vnd.in-toto.bundle")
    lines = bundle.content.splitlines()
    assert (len(lines), lines[0]) == (3, first)
    assert verify(bundle.content, published(ledger), wanted()).ignored == 0
    assert ledger.api.head(f"{here}/attestation").headers["ETag"]


def test_what_a_late_clocks_rotation_left_outside_its_key_is_signed_anew(ledger: Ledger) -> None:
    here = f"/v1/inspections/{finished(ledger)}"
    first = ledger.api.get(f"{here}/attestation").content
    keyring_of(ledger).rotate(utcnow() - timedelta(hours=1))
    again = ledger.api.get(f"{here}/attestation").content
    assert again != first
    assert (
        verify(again, published(ledger), wanted()).signed.inspection_id == here.rpartition("/")[2]
    )


def test_many_first_requests_sign_one_attestation(ledger: Ledger) -> None:
    here = f"/v1/inspections/{finished(ledger)}/attestation"
    start, seen = threading.Barrier(6), []

    def ask() -> None:
        start.wait()
        seen.append(ledger.api.get(here).content)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert len(set(seen)) == 1


def test_after_a_revocation_it_is_signed_anew(ledger: Ledger) -> None:
    here = f"/v1/inspections/{finished(ledger)}/attestation"
    first = ledger.api.get(here).content
    ring, now = keyring_of(ledger), utcnow()
    ring.revoke(published(ledger).keys[0].keyid, "stolen", now)
    refused = ledger.api.get(here)
    assert (refused.status_code, refused.json()["code"]) == (503, "signing_unavailable")
    assert refused.headers["Retry-After"] == "60"
    ring.rotate(now)
    second = ledger.api.get(here).content
    assert second != first
    assert verify(second, published(ledger), wanted()).key == published(ledger).keys[1]


@pytest.mark.parametrize("path", ["attestation", "attestations.intoto.jsonl", "bom.cdx.json"])
def test_there_is_none_before_the_end(ledger: Ledger, path: str) -> None:
    row = ledger.inspection()
    waiting = ledger.api.get(f"/v1/inspections/{row['id']}/{path}")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "not_ready")
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    ended = ledger.api.get(f"/v1/inspections/{row['id']}/{path}")
    assert (ended.status_code, ended.json()["code"]) == (409, "no_verdict")
    unknown = ledger.api.get(f"/v1/inspections/insp_0/{path}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_unknown_predicates_are_refused(ledger: Ledger) -> None:
    answer = ledger.api.get("/v1/inspections/insp_0/attestation?predicate=slsa")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def rewritten(change: Callable[[str], str], *, hashed: bool) -> Callable[[Report], None]:
    def apply(row: Report) -> None:
        row.body = change(row.body)
        if hashed:
            row.sha256 = hashlib.sha256(row.body.encode()).hexdigest()

    return apply


@pytest.mark.parametrize(
    "alter",
    [
        rewritten(lambda body: body.replace('"score": 2.5', '"score": 0.5'), hashed=False),
        rewritten(lambda body: body.replace('"backdoored"', '"clean"'), hashed=True),
        rewritten(lambda body: body.replace(SHA256, "0" * 64), hashed=True),
        rewritten(lambda _body: "[]", hashed=True),
    ],
)
def test_a_report_that_was_altered_is_not_signed(
    ledger: Ledger, alter: Callable[[Report], None]
) -> None:
    inspection = finished(ledger, "backdoored")
    with ledger.context.database.begin() as session:
        alter(session.get_one(Report, inspection))
    answer = ledger.api.get(f"/v1/inspections/{inspection}/attestation")
    assert (answer.status_code, answer.json()["code"]) == (409, "report_altered")


@pytest.mark.parametrize("changes", [{"verdict": "clean", "result": "pass"}, {"result": "pass"}])
def test_a_verdict_that_was_altered_is_not_signed(ledger: Ledger, changes: dict[str, str]) -> None:
    inspection = finished(ledger, "backdoored")
    with ledger.context.database.begin() as session:
        session.execute(update(Inspection).values(**changes))
    answer = ledger.api.get(f"/v1/inspections/{inspection}/attestation")
    assert (answer.status_code, answer.json()["code"]) == (409, "report_altered")


def test_what_was_altered_after_it_was_signed_shows(ledger: Ledger) -> None:
    here = f"/v1/inspections/{finished(ledger, 'backdoored')}"
    ledger.api.get(f"{here}/attestation")
    with ledger.context.database.begin() as session:
        session.execute(update(Report).values(body="{}"))
    demands = wanted(report_sha256=hashlib.sha256(b"{}").hexdigest())
    with pytest.raises(Exception, match="the report has the sha256"):
        verify(ledger.api.get(f"{here}/attestation").content, published(ledger), demands)


def test_the_keys_are_public_and_the_verdicts_are_not(tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path / "data", api_token="secret"))
    answer = ledger.api.get("/v1/signing_keys")
    assert (answer.status_code, len(answer.json()["keys"])) == (200, 1)
    assert "PRIVATE" not in answer.text
    assert ledger.api.get("/v1/inspections/insp_0/attestation").status_code == 401
    ledger.close()


def test_a_folder_of_keys_that_cannot_be_used_stops_signing_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = Ledger(settings_in(tmp_path / "data", signing_keys=tmp_path / "file" / "keys"))
    inspection = finished(ledger)
    for path in (f"/v1/inspections/{inspection}/attestation", "/v1/signing_keys"):
        answer = ledger.api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "signing_unavailable")
    assert ledger.api.get(f"/v1/inspections/{inspection}/report.json").status_code == 200
    assert ledger.api.get(f"/v1/inspections/{inspection}/bom.cdx.json").status_code == 200
    ledger.close()


def test_nothing_of_a_key_is_kept_with_the_data(ledger: Ledger) -> None:
    ledger.api.get(f"/v1/inspections/{finished(ledger)}/attestation")
    (pem,) = ledger.settings.signing_dir.glob("*.pem")
    secret = pem.read_bytes().splitlines()[1]
    kept = [path.read_bytes() for path in ledger.settings.data_dir.rglob("*") if path.is_file()]
    assert kept
    assert not any(secret in data for data in kept)
    assert json.loads(ledger.api.get("/openapi.json").content)
    assert ARTIFACT in b"".join(kept)
