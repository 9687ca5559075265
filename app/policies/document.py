"""A policy as data: JSON that one writes, keeps under version control, and sends to the service.

Every field but ``name`` has a default; what is left out asks for nothing, except that the verdict
must be ``clean`` and no finding critical.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.inspections.policy import Profile, Verdict

RuleName = Literal[
    "verdict", "findings", "age", "backbone", "profile", "engine", "assembly", "bank", "score",
    "p_value",
]  # fmt: skip
SEVERITIES = ("info", "low", "medium", "high", "critical")
ASSEMBLY = ("unverified", "plausible", "checked", "proved")
"""From the weakest on, as the reports have them."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Reason = Annotated[
    str, StringConstraints(min_length=3, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Backbone = Annotated[
    str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\x00-\x20\x7f]+$")
]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$")]
Day = Annotated[
    str,
    StringConstraints(
        pattern=r"^(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
        r"|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
        r"|20([02468][048]|[13579][26])-02-29)$"
    ),
]
"""YYYY-MM-DD of this century. As a pattern, so that the API's document says just what is taken."""
_OF_ONE_FILE = ("verdict", "findings")
"""Rules about what a file is, which a waiver may lift for that file only."""
_WAIVER_RULES: dict[str, Any] = {
    "allOf": [
        {
            "if": {"properties": {"rule": {"enum": list(_OF_ONE_FILE)}}, "required": ["rule"]},
            "then": {
                "required": ["artifact_sha256"],
                "properties": {"artifact_sha256": {"not": {"type": "null"}}},
            },
        },
        {
            "if": {"properties": {"rule": {"const": "findings"}}, "required": ["rule"]},
            "then": {"required": ["finding"], "properties": {"finding": {"not": {"type": "null"}}}},
            "else": {"properties": {"finding": {"type": "null"}}},
        },
    ]
}


class Waiver(BaseModel):
    """Somebody takes the responsibility for one rule, for a reason and until a day."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_WAIVER_RULES)

    rule: RuleName
    reason: Reason
    expires: Annotated[Day, Field(description="The last day, in UTC, on which it counts.")]
    artifact_sha256: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="Of the one file that it is for; else for all. A verdict and findings are "
            "waived for one file only.",
        ),
    ] = None
    finding: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9][a-z0-9-]{0,99}$",
            description="The finding's id; needed where findings are waived.",
        ),
    ] = None

    @model_validator(mode="after")
    def _says_what_for(self) -> Self:
        if self.rule in _OF_ONE_FILE and self.artifact_sha256 is None:
            raise ValueError(f"a waiver of {self.rule} names the artifact_sha256 that it is for")
        if (self.rule == "findings") != (self.finding is not None):
            raise ValueError("finding is said where, and only where, findings are waived")
        return self

    def covers(self, rule: RuleName, sha256: str, finding: str | None) -> bool:
        """Whether it is about this, expired or not."""
        about = self.artifact_sha256 in (None, sha256)
        return about and self.rule == rule and self.finding == finding

    def is_valid(self, now: datetime) -> bool:
        """Whether it still counts."""
        end = datetime.combine(date.fromisoformat(self.expires), datetime.min.time(), UTC)
        return now < end + timedelta(days=1)


class Policy(BaseModel):
    """What is asked of an inspection. A field that is left out, or null, asks for nothing."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Text = ""
    verdicts: Annotated[
        list[Verdict], Field(min_length=1, max_length=4, description="Those that pass.")
    ] = ["clean"]
    max_severity: Annotated[
        Literal["info", "low", "medium", "high"],
        Field(description="The gravest finding that passes; critical never does."),
    ] = "high"
    max_age_days: Annotated[
        float | None,
        Field(
            strict=True,
            gt=0,
            le=36_500,
            allow_inf_nan=False,
            description="Since the inspection ended.",
        ),
    ] = None
    backbones: Annotated[
        list[Backbone] | None,
        Field(
            min_length=1,
            max_length=200,
            description="Allowed ones: ID, ID@sha256:HEX or sha256:HEX, as reports name them.",
        ),
    ] = None
    profiles: Annotated[list[Profile] | None, Field(min_length=1, max_length=4)] = None
    min_engine: Annotated[
        Version | None, Field(description="The oldest version of clipvet that counts.")
    ] = None
    min_assembly: Literal["unverified", "plausible", "checked", "proved"] | None = None
    own_bank: Annotated[
        bool,
        Field(
            strict=True,
            description="The verdict rests on honest models of this backbone (a calibration).",
        ),
    ] = False
    max_score: Annotated[float | None, Field(strict=True, ge=-1e6, le=1e6, allow_inf_nan=False)] = (
        None
    )
    min_p_value: Annotated[float | None, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = None
    waivers: Annotated[list[Waiver], Field(max_length=200)] = []
