"""A signed verdict offline: what is accepted, and every way in which it is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from app.attestation import dsse
from app.attestation.keyring import Keyring
from app.attestation.published import KeyList
from app.attestation.statements import PREDICATES, SCHEMA, Predicate, statement
from app.attestation.strictjson import NotStrict
from app.attestation.verifying import Refused, Wanted, verify
from tests.support.attested import FINISHED, SHA256, facts_of, report_of, signed

VERDICTS = ["clean", "suspicious", "backdoored", "inconclusive", "code"]
NOW = FINISHED + timedelta(days=3)
WANTED = Wanted(SHA256, NOW)


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    ring = Keyring(tmp_path_factory.mktemp("ring") / "keys")
    ring.published(FINISHED - timedelta(days=1))
    return ring


@pytest.fixture(scope="module")
def keys(keyring: Keyring) -> KeyList:
    return KeyList.parse(keyring.published(NOW).to_bytes())


def refusal(data: bytes, keys: KeyList, wanted: Wanted = WANTED) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(data, keys, wanted)
    assert len(caught.value.remedy) > 20
    return caught.value


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("predicate", PREDICATES)
def test_what_was_signed_comes_out(
    keyring: Keyring, keys: KeyList, verdict: str, predicate: Predicate
) -> None:
    got = verify(signed(keyring, verdict, predicate), keys, WANTED).signed
    expected = "inconclusive" if verdict == "code" else verdict
    assert got.verdict == (expected if predicate == "backdoor-inspection" else None)
    passes = {"clean": "pass", "suspicious": "fail" if predicate == "svr" else "warn"}
    assert got.result == passes.get(verdict, "fail")
    assert (got.inspection_id, got.finished_at) == ("insp_1", FINISHED)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_our_predicate_is_what_its_schema_says(verdict: str) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    told = statement(facts_of(verdict), "backdoor-inspection", FINISHED)
    checker.validate(told["predicate"])
    assert set(told["predicate"]) == set(schema["properties"]) == set(schema["required"])
    for key in schema["required"]:
        lacking = {name: value for name, value in told["predicate"].items() if name != key}
        assert not checker.is_valid(lacking)


def test_the_statement_tells_what_the_verdict_rests_on() -> None:
    facts = facts_of("backdoored")
    told = statement(facts, "backdoor-inspection", FINISHED)
    assert told["subject"] == [{"name": "model.pth.tar-50", "digest": {"sha256": SHA256}}]
    predicate = told["predicate"]
    assert predicate["target"] == {"index": 1, "name": "dog"}
    assert predicate["backbone"] == {"id": "ViT-B-16/openai", "sha256": "ab" * 32}
    assert predicate["engine"] == {"name": "clipvet"} | facts.report["engine"]
    assert predicate["probes"]["source"] == "builtin"
    assert predicate["report"]["sha256"] == facts.report_sha256
    assert (predicate["profile"], predicate["seed"]) == ("standard", 3)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("predicate", PREDICATES)
def test_in_totos_own_library_reads_every_statement(verdict: str, predicate: Predicate) -> None:
    told = statement(facts_of(verdict), predicate, FINISHED)
    parsed = json_format.ParseDict(told, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    if predicate == "test-result":
        content = {key: value for key, value in told["predicate"].items() if key != "clipvet"}
        result = json_format.ParseDict(content, test_result_pb2.TestResult())
        for one in result.configuration:
            ResourceDescriptor.copy_from_pb(one).validate()


def test_other_peoples_predicates_are_as_they_define_them() -> None:
    """in-toto/attestation, spec/predicates/test-result.md and svr.md."""
    tests = statement(facts_of("suspicious"), "test-result", FINISHED)
    assert tests["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    content = tests["predicate"]
    assert content["result"] == "WARNED"
    assert content["warnedTests"] == ["backdoor-search"]
    assert content["failedTests"] == []
    assert all({"uri", "digest", "content"} & set(one) for one in content["configuration"])
    svr = statement(facts_of("clean"), "svr", FINISHED)
    assert svr["predicateType"] == "https://in-toto.io/attestation/svr/v0.2"
    assert set(svr["predicate"]["verifier"]) == {"id", "policies"}
    assert svr["predicate"]["timeCreated"] == "2026-11-29T12:00:00Z"
    assert "CLIPVET_NO_BACKDOOR_FOUND_STANDARD" in svr["predicate"]["properties"]
    failed = statement(facts_of("code"), "svr", FINISHED)["predicate"]["properties"]
    assert not [one for one in failed if "BACKDOOR" in one or "POLICY" in one or "CODE" in one]


@pytest.mark.parametrize("predicate", PREDICATES)
def test_an_independent_parser_verifies_and_refuses(
    keyring: Keyring, keys: KeyList, predicate: Predicate
) -> None:
    raw = keys.keys[0].raw
    key = SSlibKey(keys.keys[0].keyid, "ed25519", "ed25519", {"public": raw.hex()})
    data = signed(keyring, predicate=predicate)
    envelope = Envelope.from_dict(json.loads(data))
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert envelope.verify([key], 1) == {key.keyid: key}
    assert envelope.pae() == dsse.parse(data).signed_bytes
    envelope.payload = envelope.payload.replace(b'"pass"', b'"warn"') + b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_ids_and_encoding_are_those_of_rfc_8410_and_of_the_specification(keys: KeyList) -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    prefix = bytes.fromhex("302a300506032b6570032100")
    assert keys.keys[0].keyid == hashlib.sha256(prefix + keys.keys[0].raw).hexdigest()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_changed_byte_of_payload_or_signature_is_accepted(
    keyring: Keyring, keys: KeyList, data: st.DataObject
) -> None:
    document = json.loads(signed(keyring, "backdoored"))
    field = data.draw(st.sampled_from(["payload", "sig"]))
    holder = document if field == "payload" else document["signatures"][0]
    raw = bytearray(base64.b64decode(holder[field]))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    holder[field] = base64.b64encode(raw).decode()
    assert refusal(json.dumps(document).encode(), keys).code == "bad_signature"


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_of_the_file_never_changes_what_is_believed(
    keyring: Keyring, keys: KeyList, place: int, byte: int
) -> None:
    good = signed(keyring, "backdoored")
    changed = bytearray(good)
    changed[place % len(good)] = byte
    try:
        got = verify(bytes(changed), keys, WANTED)
    except Refused:
        return
    assert got.signed == verify(good, keys, WANTED).signed


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_nonsense_is_malformed_and_no_crash(keys: KeyList, data: bytes) -> None:
    assert refusal(data, keys).code in ("malformed", "unknown_key")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a":' * 100_000,
        b'{"payload":"","payloadType":"x","signatures":[]}',
        b'{"payload":"e30=","payload":"e30=","payloadType":"x","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"e31=","payloadType":"x","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"e30","payloadType":"x","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"e30=","payloadType":1,"signatures":[{"sig":"AA=="}]}',
        b'{"payload":"e30=","payloadType":"x","signatures":[{"sig":7}]}',
        b'{"payload":"e30=","payloadType":"x","signatures":{"sig":"AA=="}}',
        b'{"payload":"' + b"A" * 2_000_000 + b'","payloadType":"x","signatures":[{"sig":""}]}',
        b'{"payload":' + b"9" * 10_000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_malformed(keys: KeyList, data: bytes) -> None:
    told = refusal(data, keys)
    assert told.code == "malformed"
    assert "ATTESTATION ARTIFACT" in told.remedy


def test_a_payload_type_that_no_bytes_stand_for_is_malformed() -> None:
    envelope = {"payloadType": "\ud800", "payload": "e30=", "signatures": [{"sig": "AA=="}]}
    with pytest.raises(NotStrict):
        dsse.parse(json.dumps(envelope).encode())


def test_url_safe_base64_is_read_too_and_a_mixture_is_not(keyring: Keyring, keys: KeyList) -> None:
    document = json.loads(signed(keyring))
    for holder, field in ((document, "payload"), (document["signatures"][0], "sig")):
        holder[field] = base64.urlsafe_b64encode(base64.b64decode(holder[field])).decode()
    assert verify(json.dumps(document).encode(), keys, WANTED).signed.verdict == "clean"
    with pytest.raises(NotStrict):
        dsse.decoded("-+Pj", "x")


def test_another_file_is_refused_and_both_are_named(keyring: Keyring, keys: KeyList) -> None:
    told = refusal(signed(keyring), keys, replace(WANTED, artifact_sha256="f" * 64))
    assert told.code == "other_file"
    assert SHA256 in str(told) and "f" * 64 in str(told) and "model.pth.tar-50" in str(told)


def test_an_edited_verdict_is_refused(keyring: Keyring, keys: KeyList) -> None:
    document = json.loads(signed(keyring, "backdoored"))
    payload = base64.b64decode(document["payload"])
    payload = payload.replace(b'"verdict":"backdoored"', b'"verdict":"clean"')
    payload = payload.replace(b'"result":"fail"', b'"result":"pass"')
    document["payload"] = base64.b64encode(payload).decode()
    assert refusal(json.dumps(document).encode(), keys).code == "bad_signature"


def test_a_strangers_key_is_unknown_whatever_id_it_claims(
    keyring: Keyring, keys: KeyList, tmp_path: Path
) -> None:
    strange = signed(Keyring(tmp_path / "strange"))
    assert refusal(strange, keys).code == "unknown_key"
    document = json.loads(strange)
    document["signatures"][0]["keyid"] = keys.keys[0].keyid
    assert refusal(json.dumps(document).encode(), keys).code == "bad_signature"
    del document["signatures"][0]["keyid"]
    assert refusal(json.dumps(document).encode(), keys).code == "bad_signature"


def test_a_signature_without_an_id_is_tried_with_every_key(keyring: Keyring, keys: KeyList) -> None:
    document = json.loads(signed(keyring))
    del document["signatures"][0]["keyid"]
    assert verify(json.dumps(document).encode(), keys, WANTED).key == keys.keys[0]


def test_a_second_signature_that_is_not_ours_spoils_nothing(
    keyring: Keyring, keys: KeyList
) -> None:
    document = json.loads(signed(keyring))
    document["signatures"].insert(0, {"keyid": "other", "sig": "AAAA"})
    assert verify(json.dumps(document).encode(), keys, WANTED).signed.verdict == "clean"


def test_rotation_keeps_and_revocation_takes_back(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keys")
    early, later = FINISHED, FINISHED + timedelta(days=1)
    old = signed(ring)
    ring.rotate(later)
    new = signed(ring, at=later)
    keys = ring.published(NOW)
    assert [key.status_at(NOW) for key in keys.keys] == ["retired", "active"]
    for data, key in zip((old, new), keys.keys, strict=True):
        assert verify(data, keys, WANTED).key == key
    ring.revoke(keys.keys[0].keyid[:12], "the disk was stolen", NOW)
    revoked = ring.published(NOW)
    told = refusal(old, revoked)
    assert (told.code, "the disk was stolen" in str(told)) == ("revoked_key", True)
    assert verify(new, revoked, WANTED).signed.issued_at == later
    assert early < later


@pytest.mark.parametrize(
    ("not_before", "not_after"),
    [(FINISHED + timedelta(seconds=1), None), (FINISHED - timedelta(days=9), FINISHED - timedelta(1))],
)  # fmt: skip
def test_a_signature_from_outside_of_its_keys_time_is_refused(
    keyring: Keyring, keys: KeyList, not_before: datetime, not_after: datetime | None
) -> None:
    key = replace(keys.keys[0], not_before=not_before, not_after=not_after)
    assert refusal(signed(keyring), KeyList((key,))).code == "key_not_valid_then"


def test_a_stale_verdict_is_refused_and_age_counts_from_the_inspection(
    keyring: Keyring, keys: KeyList
) -> None:
    data = signed(keyring, at=NOW)
    fresh = replace(WANTED, max_age=timedelta(days=3))
    assert verify(data, keys, fresh).signed.issued_at == NOW
    told = refusal(data, keys, replace(WANTED, max_age=timedelta(days=2.9)))
    assert (told.code, "3 days ago" in str(told)) == ("stale", True)


def test_another_report_is_refused(keyring: Keyring, keys: KeyList) -> None:
    mine = hashlib.sha256(report_of()).hexdigest()
    assert verify(signed(keyring), keys, replace(WANTED, report_sha256=mine)).signed.verdict
    told = refusal(signed(keyring), keys, replace(WANTED, report_sha256="0" * 64))
    assert (told.code, "report.json" in told.remedy) == ("other_report", True)


def test_a_clock_that_is_wrong_is_told_apart(keyring: Keyring, keys: KeyList) -> None:
    early = replace(WANTED, now=FINISHED - timedelta(hours=1))
    assert refusal(signed(keyring), keys, early).code == "signed_in_the_future"


Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "unknown_predicate"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), "unknown_predicate"),
        (lambda s: s.update(predicateType=s["predicateType"][:-1] + "2"), "unknown_predicate"),
        (lambda s: s.update(subject=[]), "malformed"),
        (lambda s: s["subject"][0].update(digest={"sha512": "0"}), "malformed"),
        (lambda s: s["subject"][0]["digest"].update(sha256=SHA256.upper()), "malformed"),
        (lambda s: s.pop("predicate"), "malformed"),
        (lambda s: s["predicate"].pop("verdict"), "malformed"),
        (lambda s: s["predicate"].update(verdict="safe"), "malformed"),
        (lambda s: s["predicate"].update(policy=None), "malformed"),
        (lambda s: s["predicate"].update(issuedOn="2026-11-29T12:00:00+00:00"), "malformed"),
        (lambda s: s["predicate"].update(issuedOn="yesterday"), "malformed"),
        (lambda s: s["predicate"]["inspection"].update(finishedOn="2027-01-01T00:00:00Z"), "malformed"),
        (lambda s: s["predicate"]["report"].update(sha256=""), "malformed"),
        (lambda s: s["predicate"].update(criticalFindings=0), "malformed"),
    ],
)  # fmt: skip
def test_well_signed_statements_that_prove_no_verdict(
    keyring: Keyring, keys: KeyList, edit: Edit, code: str
) -> None:
    assert refusal(signed(keyring, edit=edit), keys).code == code


def test_names_that_no_terminal_should_see_are_signed_and_shown_safely(
    keyring: Keyring, keys: KeyList
) -> None:
    def rename(told: dict[str, Any]) -> None:
        told["subject"][0]["name"] = "m\ud800\x1b[2J.pth"

    data = signed(keyring, edit=rename)
    assert verify(data, keys, WANTED).signed.subjects[0][0] == "m\ud800\x1b[2J.pth"
    assert refusal(data, keys, replace(WANTED, artifact_sha256="0" * 64)).code == "other_file"


def test_another_payload_type_is_no_statement(keyring: Keyring, keys: KeyList) -> None:
    key = keyring.active(NOW)
    payload = dsse.parse(signed(keyring)).payload
    signature = dsse.Signature(key.keyid, key.sign(dsse.pae("text/plain", payload)))
    told = refusal(dsse.Envelope("text/plain", payload, (signature,)).to_bytes(), keys)
    assert told.code == "unknown_predicate"


def test_of_a_bundle_the_latest_good_verdict_counts(
    keyring: Keyring, keys: KeyList, tmp_path: Path
) -> None:
    later = FINISHED + timedelta(days=1)
    old = signed(keyring, "clean")
    new = signed(keyring, "backdoored", at=later, finished_at=later)
    strange = signed(Keyring(tmp_path / "strange"))
    lines = [b'{"foreign": 1}', signed(keyring, "clean", "svr"), new, old, strange, b""]
    got = verify(b"\n".join(lines), keys, WANTED)
    assert (got.signed.verdict, got.ignored) == ("backdoored", 2)
    without = [lines[1], strange, new.replace(b'"sig":"', b'"sig":"AAAA')]
    assert refusal(b"\n".join(without), keys).code == "bad_signature"


def looked_again(keyring: Keyring, verdict: str, days: int, profile: str) -> bytes:
    """Signed about an inspection of its own, so many days later, with that profile."""
    at = FINISHED + timedelta(days=days)

    def name(told: dict[str, Any]) -> None:
        told["predicate"]["profile"] = profile
        told["predicate"]["inspection"]["id"] = f"insp_{profile}"

    return signed(keyring, verdict, at=at, finished_at=at, edit=name)


def test_an_accusation_counts_until_a_stronger_inspection_takes_it_back(
    keyring: Keyring, keys: KeyList
) -> None:
    accused = signed(keyring, "backdoored")
    quick = looked_again(keyring, "clean", 1, "quick")
    doubt = looked_again(keyring, "inconclusive", 2, "thorough")
    # Nor does it age, or go because the report of another inspection is asked for.
    mine = hashlib.sha256(report_of()).hexdigest()
    for wanted in (
        WANTED,
        replace(WANTED, max_age=timedelta(days=1.5)),
        replace(WANTED, report_sha256=mine),
        replace(WANTED, suits=lambda one: one.verdict == "clean"),
    ):
        got = verify(b"\n".join([quick, accused, doubt]), keys, wanted)
        assert got.signed.verdict == "backdoored"
        assert {one.inspection_id for one in got.others} == {"insp_quick", "insp_thorough"}
    deep = looked_again(keyring, "clean", 3, "thorough")
    got = verify(b"\n".join([quick, accused, deep]), keys, WANTED)
    assert (got.signed.verdict, got.signed.inspection_id) == ("clean", "insp_thorough")


def test_of_calm_verdicts_those_that_are_fresh_count_and_a_stale_one_is_told(
    keyring: Keyring, keys: KeyList, tmp_path: Path
) -> None:
    deep = looked_again(keyring, "clean", 0, "thorough")
    quick = looked_again(keyring, "clean", 2, "quick")
    strange = signed(Keyring(tmp_path / "strange"))
    both = b"\n".join([quick, deep, strange])
    assert verify(both, keys, WANTED).signed.inspection_id == "insp_thorough"
    fresh = replace(WANTED, max_age=timedelta(days=2))
    assert verify(both, keys, fresh).signed.inspection_id == "insp_quick"
    assert refusal(both, keys, replace(WANTED, max_age=timedelta(hours=1))).code == "stale"


def test_an_envelope_may_be_written_over_many_lines(keyring: Keyring, keys: KeyList) -> None:
    spread = json.dumps(json.loads(signed(keyring)), indent=2).encode()
    assert verify(spread, keys, WANTED).signed.verdict == "clean"


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(schema_version="2"),
        lambda d: d["keys"].append(d["keys"][0]),
        lambda d: d["keys"][0].update(keyid="0" * 64),
        lambda d: d["keys"][0].update(algorithm="rsa"),
        lambda d: d["keys"][0].update(public_key="AAAA"),
        lambda d: d["keys"][0].update(not_before=None),
        lambda d: d["keys"][0].update(revoked_at="soon"),
        lambda d: d.update(keys={}),
    ],
)
def test_a_list_of_keys_that_is_not_in_order_is_refused(keys: KeyList, edit: Edit) -> None:
    document = json.loads(keys.to_bytes())
    edit(document)
    with pytest.raises(NotStrict):
        KeyList.parse(json.dumps(document).encode())


def test_verifying_loads_neither_torch_nor_the_service() -> None:
    program = (
        "import sys, app.attestation.verifying, app.attestation.bom\n"
        "heavy = {'torch', 'numpy', 'fastapi', 'sqlalchemy', 'pydantic', 'boto3', 'inspector'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
