"""/v1/policies and /v1/evaluations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import ContextDep, IdempotencyDep
from app.documented import carries, problems
from app.idempotency import Answer
from app.paging import Page, PageToken, before, cut
from app.policies import service
from app.policies.document import Policy
from app.policies.evaluating import under, under_kept
from app.policies.schemas import EvaluationCreate, EvaluationView, Number, PolicyView
from app.strict import StrictRoute

router = APIRouter(prefix="/v1", tags=["policies"], route_class=StrictRoute)


@router.post(
    "/policies", status_code=201, response_model=PolicyView, responses=carries(201, "Location")
)
def add_policy(body: Policy, context: ContextDep, once: IdempotencyDep) -> Response:
    """A new version of the policy of that name; earlier ones stay as they are."""

    def work(session: Session) -> Answer:
        row = service.add(session, body.model_dump(mode="json"))
        here = f"{context.base_url}/v1/policies/{row.name}?version={row.version}"
        return Answer(201, PolicyView.of(row), {"Location": here})

    return once.answer(body, work)


@router.get("/policies")
def list_policies(
    context: ContextDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    page_token: PageToken | None = None,
) -> Page[PolicyView]:
    """Every version of every policy, newest first."""
    before_id = before("pol", page_token)
    with context.database.read() as session:
        rows = service.newest_first(session, before_id=before_id, limit=limit + 1)
    return cut([PolicyView.of(row) for row in rows], [row.id for row in rows], limit)


@router.get("/policies/{policy_name}")
def get_policy(
    policy_name: Annotated[str, Path(max_length=200)],
    context: ContextDep,
    version: Annotated[Number | None, Query(description="Left out: the newest.")] = None,
) -> PolicyView:
    """One version of a policy."""
    with context.database.read() as session:
        return PolicyView.of(service.get(session, policy_name, version))


@router.post("/evaluations", responses=problems(404))
def evaluate(body: EvaluationCreate, context: ContextDep) -> EvaluationView:
    """Hold a finished inspection against a policy, now: a verdict ages and a waiver ends."""
    with context.database.read() as session:
        if body.document is not None:
            return under(session, body.inspection_id, body.document)
        return under_kept(session, body.inspection_id, str(body.policy), body.version)
