"""JSON shapes of policies and evaluations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.models import PolicyVersion
from app.policies.document import Name, Policy, RuleName, Waiver
from app.policies.rules import Facts, Result, RuleResult, Standing, result_of

Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
_EITHER: dict[str, Any] = {
    "oneOf": [
        {"required": ["policy"], "properties": {"policy": {"not": {"type": "null"}}}},
        {"required": ["document"], "properties": {"document": {"not": {"type": "null"}}}},
    ],
    "if": {"required": ["document"], "properties": {"document": {"not": {"type": "null"}}}},
    "then": {"properties": {"version": {"type": "null"}}},
}


class PolicyView(BaseModel):
    """One version of a policy; it never changes."""

    id: str
    name: str
    version: int
    sha256: str
    created_at: datetime
    document: Policy

    @classmethod
    def of(cls, row: PolicyVersion) -> PolicyView:
        """The row's fields of the same names."""
        return cls.model_validate(row, from_attributes=True)


class EvaluationCreate(BaseModel):
    """An inspection, and the policy that it is held against: a kept one, or one that is sent."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_EITHER)

    inspection_id: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
    policy: Annotated[Name | None, Field(description="The name of one that is kept.")] = None
    version: Annotated[Number | None, Field(description="Of it; left out: the newest.")] = None
    document: Annotated[Policy | None, Field(description="Instead of a name.")] = None

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if (self.policy is None) == (self.document is None):
            raise ValueError("give exactly one of policy and document")
        if self.version is not None and self.policy is None:
            raise ValueError("version is said of a policy that is kept")
        return self


class PolicyRef(BaseModel):
    """Which policy it was; without a version one that was sent along."""

    name: str
    version: int | None
    sha256: str


class RuleView(BaseModel):
    """One rule, what was found and what to do."""

    rule: RuleName
    status: Standing
    found: str
    wanted: str
    message: str
    remedy: str
    waiver: Waiver | None


class EvaluationView(BaseModel):
    """What a policy makes of an inspection; nothing of it is kept."""

    inspection_id: str
    artifact_sha256: str
    verdict: str
    policy: PolicyRef
    evaluated_at: datetime
    result: Literal["pass", "warn", "fail"]
    rules: list[RuleView]

    @classmethod
    def of(
        cls, inspection_id: str, policy: PolicyRef, facts: Facts, now: datetime,
        rules: list[RuleResult],
    ) -> EvaluationView:  # fmt: skip
        """The rules, and the worst of them."""
        result: Result = result_of(rules)
        return cls(
            inspection_id=inspection_id,
            artifact_sha256=facts.artifact_sha256,
            verdict=facts.verdict,
            policy=policy,
            evaluated_at=now,
            result=result,
            rules=[RuleView.model_validate(rule, from_attributes=True) for rule in rules],
        )
