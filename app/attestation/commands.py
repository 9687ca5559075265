"""``clipvet verify``, ``clipvet bom`` and ``clipvet keys``: signed verdicts on the command line.

The first two need no service and no network; the last one works on the folder of signing keys of
this machine. Imports what each needs by itself, as :mod:`app.cli` does.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

import typer

from app.client.gate.exits import EXIT_ERROR, EXIT_FAIL, EXIT_PASS, exit_code

if TYPE_CHECKING:
    from app.attestation.judging import Judge
    from app.attestation.keyring import Keyring
    from app.attestation.published import KeyList, PublicKey
    from app.attestation.verifying import Refused, Verified, Wanted
    from app.policies.rules import RuleResult

_Result = TypeVar("_Result")
Format = Annotated[Literal["table", "json"], typer.Option("--format")]
_EXISTING: dict[str, bool] = {"exists": True, "dir_okay": False, "readable": True}
_MAX_BYTES = 64 << 20
"""Of a bundle and of a report."""

keys = typer.Typer(
    name="keys", help="The keys that sign this service's verdicts.", no_args_is_help=True
)


def verify(
    attestation: Annotated[
        Path, typer.Argument(help="A DSSE envelope, or several, one a line.", **_EXISTING)
    ],
    artifact: Annotated[
        Path, typer.Argument(help="The very file that is to be deployed.", **_EXISTING)
    ],
    keys_file: Annotated[
        Path,
        typer.Option(
            "--keys",
            exists=True,
            dir_okay=False,
            help="Public keys of the service that you trust, from /v1/signing_keys.",
        ),
    ],
    max_age: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Refuse an inspection that is older."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Also: that this is the report."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Judge by this policy, not by what was signed."
        ),
    ] = None,
    any_verdict: Annotated[
        bool, typer.Option("--any-verdict", help="Exit 0 for every genuine attestation.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Check a signed verdict about a file, offline; then exit by the verdict that was signed.

    Of several an accusation counts until a stronger inspection takes it back, else the strongest
    newest. Exit 1 for an attestation that proves nothing about the file, and says why.
    """
    from app.attestation.verifying import Wanted

    trusted, now = _read_keys(keys_file), datetime.now(UTC)
    body = None if report is None else _read(report)
    sha256 = _sha256(artifact)
    judge = None if policy is None else _judge(_read(policy), body, sha256, now)
    wanted = Wanted(
        artifact_sha256=sha256,
        now=now,
        max_age=None if max_age is None else timedelta(days=max_age),
        report_sha256=None if body is None else hashlib.sha256(body).hexdigest(),
        suits=None if judge is None else judge.passes,
    )
    verified = _verified(_read(attestation), trusted, wanted, format_)
    signed, rules = verified.signed, [] if judge is None else judge.rules(verified.signed)
    result = signed.result if judge is None else judge.result(signed)
    _tell_verified(verified, result, rules, format_)
    code = exit_code("succeeded", signed.verdict, result, signed.critical)
    raise typer.Exit(EXIT_PASS if any_verdict else code)


def _verified(data: bytes, trusted: KeyList, wanted: Wanted, format_: str) -> Verified:
    from app.attestation.verifying import Refused
    from app.attestation.verifying import verify as check

    try:
        return check(data, trusted, wanted)
    except Refused as reason:
        _tell_refusal(reason, format_)
        raise typer.Exit(EXIT_FAIL) from None


def bom(
    report: Annotated[
        Path, typer.Argument(help="As the service or clipvet inspect wrote it.", **_EXISTING)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Write it there, not to stdout.")
    ] = None,
) -> None:
    """Write the CycloneDX 1.6 ML-BOM of an inspected model, from its report.json."""
    from app.attestation.bom import of_report
    from app.attestation.strictjson import NotStrict, parse_object

    body = _read(report)
    try:
        document = of_report(parse_object(body), hashlib.sha256(body).hexdigest())
    except NotStrict as error:
        raise typer.BadParameter(f"{report} is no report: {error}") from error
    text = json.dumps(document, indent=2) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, "utf-8")


@keys.command("list")
def list_keys(format_: Format = "table") -> None:
    """Every key with when it counts; the first call makes the first key."""
    now = datetime.now(UTC)
    found = _or_fail(lambda: _keyring().published(now))
    if format_ == "json":
        _print_json([key.to_json() | {"status": key.status_at(now)} for key in found.keys])
        return
    for key in found.keys:
        _print_key(key, now)


@keys.command()
def rotate(
    valid_days: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="DAYS", help="Then the new key ends; else when rotated."),
    ] = None,
) -> None:
    """Make a new key that signs from now on; what older ones signed goes on counting."""
    now = datetime.now(UTC)
    until = None if valid_days is None else now + timedelta(days=valid_days)
    _print_key(_or_fail(lambda: _keyring().rotate(now, until)), now)
    print("Publish the list again: clipvet keys export", file=sys.stderr)


@keys.command()
def revoke(
    keyid: Annotated[str, typer.Argument(help="Its id, or how that begins.")],
    reason: Annotated[str, typer.Option(help="Published with the list.", min=1)],
) -> None:
    """Declare a key stolen: nothing that it signed counts any more; a new one takes its place."""
    now = datetime.now(UTC)
    ring = _keyring()
    _print_key(_or_fail(lambda: ring.revoke(keyid, reason, now)), now)
    left = _or_fail(lambda: ring.published(now))
    if not any(key.status_at(now) == "active" for key in left.keys):
        _print_key(_or_fail(lambda: ring.rotate(now)), now)
    print(
        "Publish the list at once: clipvet keys export. Verdicts of the revoked key are signed "
        "anew when they are next asked for.",
        file=sys.stderr,
    )


@keys.command()
def export(
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Write it there, not to stdout.")
    ] = None,
) -> None:
    """Write the public list, as /v1/signing_keys answers it, for clipvet verify --keys."""
    body = _or_fail(lambda: _keyring().published(datetime.now(UTC))).to_bytes()
    if out is None:
        sys.stdout.write(body.decode() + "\n")
    else:
        out.write_bytes(body + b"\n")


def _keyring() -> Keyring:
    from app.attestation.keyring import Keyring
    from app.settings import Settings

    return Keyring(Settings().signing_dir)


def _or_fail(work: Callable[[], _Result]) -> _Result:
    from app.attestation.keyring import KeyringError

    try:
        return work()
    except KeyringError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(f"clipvet: {message}", file=sys.stderr)
    raise typer.Exit(EXIT_ERROR)


def _read_keys(path: Path) -> KeyList:
    from app.attestation.published import KeyList
    from app.attestation.strictjson import NotStrict

    try:
        return KeyList.parse(_read(path))
    except NotStrict as error:
        raise typer.BadParameter(
            f"{path} is no list of public keys ({error}); get one from /v1/signing_keys",
            param_hint="--keys",
        ) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        _fail(f"{path} cannot be read: {error.strerror}")
    if len(data) > _MAX_BYTES:
        raise typer.BadParameter(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
    return data


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        _fail(f"{path} cannot be read: {error.strerror}")


def _tell_refusal(reason: Refused, format_: str) -> None:
    if format_ == "json":
        told = {"genuine": False, "code": reason.code}
        _print_json(told | {"message": str(reason), "remedy": reason.remedy})
        return
    print(_printable(f"clipvet: refused ({reason.code}): {reason}"), file=sys.stderr)
    print(f"next step: {reason.remedy}", file=sys.stderr)


def _judge(policy: bytes, report: bytes | None, sha256: str, now: datetime) -> Judge:
    from app.attestation.judging import Judge

    try:
        return Judge.of(policy, report, sha256, now)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--policy") from error


def _tell_verified(verified: Verified, result: str, rules: list[RuleResult], format_: str) -> None:
    from app.attestation.published import written

    signed = verified.signed
    about = signed.predicate or {}
    told: dict[str, Any] = {
        "genuine": True,
        "verdict": signed.verdict,
        "result": result,
        "rules": [f"{one.rule} {one.status}: {one.message}" for one in rules],
        "critical_findings": about.get("criticalFindings"),
        "target": about.get("target"),
        "score": about.get("score"),
        "p_value": about.get("pValue"),
        "profile": about.get("profile"),
        "backbone": about.get("backbone"),
        "engine": about.get("engine"),
        "inspection": signed.inspection_id,
        "finished_at": written(signed.finished_at),
        "issued_at": written(signed.issued_at),
        "report_sha256": signed.report_sha256,
        "predicate_type": signed.predicate_type,
        "keyid": verified.key.keyid,
        "other_verdicts": [
            f"{one.verdict} on {written(one.finished_at)} by {one.inspection_id}"
            for one in verified.others
        ],
        "lines_left_out": verified.ignored,
    }
    if format_ == "json":
        _print_json(told)
        return
    print("The attestation is genuine: about this file, and signed by a key on your list.")
    for name, value in told.items():
        if name in ("rules", "other_verdicts"):
            for line in value:
                print(f"{name.replace('_', ' ').removesuffix('s'):18} {_printable(line)}")
        elif value not in (None, [], 0, True):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"{name.replace('_', ' '):18} {_printable(text)}")


def _print_key(key: PublicKey, now: datetime) -> None:
    told = key.to_json()
    span = f"{told['not_before']} to {told['not_after'] or 'open'}"
    reason = f" ({key.revocation_reason})" if key.revoked_at else ""
    print(f"{key.keyid}  {key.status_at(now)}{_printable(reason)}  {span}")


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
