"""Signed verdicts, the ML-BOM, and the public keys."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.attestation import bom, dsse, service
from app.attestation.keyring import Keyring
from app.attestation.statements import Predicate
from app.attestation.strictjson import encode
from app.dependencies import Context, ContextDep
from app.documented import carries, problems
from app.strict import StrictRoute

router = APIRouter(prefix="/v1", tags=["attestations"], route_class=StrictRoute)

_JSON = {"schema": {"type": "object"}}
_LINES = {"schema": {"type": "string"}}
_BUNDLE = "application/vnd.in-toto.bundle"
_BOM = "application/vnd.cyclonedx+json"


@router.get(
    "/inspections/{inspection_id}/attestation",
    response_class=Response,
    responses=carries(200, "ETag", content={dsse.MEDIA_TYPE: _JSON}) | problems(409),
)
def get_attestation(
    inspection_id: str,
    context: ContextDep,
    predicate: Annotated[
        Predicate, Query(description="Which statement about the inspection.")
    ] = "backdoor-inspection",
) -> Response:
    """The verdict as a signed in-toto statement in a DSSE envelope, for ``clipvet verify``."""
    signed = service.attestations(context.database, _keyring(context), inspection_id)[predicate]
    return _answer(signed.body.encode(), dsse.MEDIA_TYPE)


@router.get(
    "/inspections/{inspection_id}/attestations.intoto.jsonl",
    response_class=Response,
    responses=carries(200, "ETag", content={_BUNDLE: _LINES}) | problems(409),
)
def get_attestation_bundle(inspection_id: str, context: ContextDep) -> Response:
    """All signed statements about the inspection, one envelope a line."""
    signed = service.attestations(context.database, _keyring(context), inspection_id)
    return _answer(service.bundle(list(signed.values())), _BUNDLE)


@router.get(
    "/inspections/{inspection_id}/bom.cdx.json",
    response_class=Response,
    responses=carries(200, "ETag", content={_BOM: _JSON}) | problems(409),
)
def get_bom(inspection_id: str, context: ContextDep) -> Response:
    """The inspected model as a CycloneDX 1.6 ML-BOM."""
    with context.database.read() as session:
        facts = service.facts_of(session, inspection_id)
    return _answer(encode(bom.of_job(facts)), _BOM)


@router.get(
    "/signing_keys",
    response_class=Response,
    responses=carries(200, "ETag", content={"application/json": _JSON}) | problems(503),
)
def get_signing_keys(context: ContextDep) -> Response:
    """The public keys of this service, with when they count and which are revoked.

    Answered without a token: whoever checks a verdict needs them, and they are no secret.
    """
    keys = service.published(_keyring(context))
    return _answer(keys.to_bytes(), "application/json")


def _keyring(context: Context) -> Keyring:
    return Keyring(context.settings.signing_dir)


def _answer(body: bytes, media_type: str) -> Response:
    tag = hashlib.sha256(body).hexdigest()
    return Response(body, media_type=media_type, headers={"ETag": f'"{tag}"'})
