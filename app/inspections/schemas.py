"""JSON shapes of inspections."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from app.inspections.asked import NEEDING, READ, UploadId, body
from app.inspections.policy import Verdict
from app.models import Inspection, InspectionEvent
from app.strict import STORABLE_REF
from app.uploads.schemas import Sha256
from app.webhooks.schemas import WebhookWish

StatusName = Literal[
    "queued", "validating", "running", "succeeded", "failed", "canceled", "expired"
]
Backbone = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:@/+-]*$", max_length=300),
]
"""A name as people type it, never a path: what lies on the server is no caller's to choose."""
_NO_NUL = r"^[^\x00]*$"
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_NO_NUL)]
_LONGEST_S = 30 * 86400
Label = Annotated[str, StringConstraints(max_length=200, pattern=_NO_NUL)]
_LABEL_NAMES = {"maxLength": 200, "pattern": _NO_NUL}
"""Said by hand: of a pattern for names pydantic tells what fits it, and not
that others are refused."""
Manifest = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "classnames": {
                    "type": "array",
                    "items": {"type": "string", "pattern": _NO_NUL},
                    "minItems": 1,
                }
            },
            "additionalProperties": STORABLE_REF,
            "propertyNames": {"pattern": _NO_NUL},
        }
    ),
]


def _given(name: str) -> dict[str, Any]:
    """In JSON Schema, where a null is as good as nothing."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


_RULES: dict[str, Any] = {
    "allOf": [
        {"oneOf": [_given("upload_id"), _given("sha256")]},
        {"not": {"allOf": [_given("manifest"), _given("classes")]}},
        {
            "if": {
                "properties": {"in_distribution": {"const": True}},
                "required": ["in_distribution"],
            },
            "then": {
                "properties": {"probes": {"not": {"const": "builtin"}}},
                "required": ["probes"],
            },
        },
        *(
            {
                "if": _given(name),
                "then": {"properties": {spec.needs: {"const": True}}, "required": [spec.needs]},
            }
            for name, spec in NEEDING.items()
        ),
    ]
}


class InspectionCreate(body("Asked")):  # type: ignore[misc]  # built from the options
    """What to inspect, against what, how hard, and whom to tell."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_RULES)

    upload_id: UploadId | None = None
    sha256: Annotated[
        Sha256 | None, Field(description="Instead of upload_id: bytes that are already here.")
    ] = None
    backbone: Backbone
    manifest: Annotated[
        Manifest | None,
        Field(description="classnames and the options that the file cannot say."),
    ] = None
    classes: Annotated[
        list[ClassName] | None,
        Field(
            min_length=1,
            max_length=50_000,
            description="Short form of a manifest; with neither the file is asked for the names.",
        ),
    ] = None
    deadline_s: Annotated[
        float | None,
        Field(
            gt=0, le=_LONGEST_S, allow_inf_nan=False, description="expired if not finished by then."
        ),
    ] = None
    webhook: WebhookWish | None = None
    labels: Annotated[
        dict[Label, Label], Field(max_length=20, json_schema_extra={"propertyNames": _LABEL_NAMES})
    ] = Field(default_factory=dict)

    @field_validator(*NEEDING)
    @classmethod
    def _has_what_it_needs(cls, given: UploadId | None, info: ValidationInfo) -> UploadId | None:
        spec = NEEDING[str(info.field_name)]
        # Told already, where it is no boolean at all.
        if given is not None and not info.data.get(str(spec.needs), True):
            raise ValueError(spec.is_unread)
        return given

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.upload_id is None) == (self.sha256 is None):
            raise ValueError("give exactly one of upload_id and sha256")
        if self.manifest is not None and self.classes is not None:
            raise ValueError("give manifest or classes, not both")
        names = (self.manifest or {}).get("classnames", ["none are stated"])
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError("manifest.classnames must be a list of class names")
        if self.in_distribution and self.probes == "builtin":
            raise ValueError("in_distribution is said of uploaded probes; built-in ones are not")
        return self

    def inspector_request(self, backbone: str) -> dict[str, Any]:
        """The part of the wish that the inspection itself reads, ``backbone`` by its one name."""
        manifest = self.manifest or {"method": "auto"}
        if self.classes is not None:
            manifest = {"method": "auto", "classnames": self.classes}
        asked: dict[str, Any] = self.model_dump(include={spec.name for spec in READ})
        return {"manifest": manifest, "backbone": backbone} | asked


class ArtifactRef(BaseModel):
    """Which bytes."""

    upload_id: str
    sha256: str
    size: int


class ErrorView(BaseModel):
    """Why a job failed; always our fault: what is wrong with a file or a request is in a report."""

    code: str
    message: str


class CreatedWebhook(BaseModel):
    """The endpoint made for one inspection; its secret is shown here and never again."""

    id: str
    secret: str


class InspectionView(BaseModel):
    """One inspection. ``status`` is the job, ``verdict`` the science, ``result`` the policy."""

    id: str
    status: StatusName
    verdict: Verdict | None
    result: Literal["pass", "warn", "fail"] | None
    summary: dict[str, Any] | None
    stage: str
    progress: float
    eta_s: float | None
    message: str
    attempt: int
    error: ErrorView | None
    artifact: ArtifactRef
    backbone: str
    profile: str
    seed: int
    repair: bool
    fail_on: str
    labels: dict[str, Any]
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime
    links: dict[str, str]
    webhook: CreatedWebhook | None = None

    @classmethod
    def of(
        cls, row: Inspection, base_url: str, webhook: CreatedWebhook | None = None
    ) -> InspectionView:
        """The row with links below ``base_url``; a webhook only where it was just created."""
        here = f"{base_url}/v1/inspections/{row.id}"
        copied = [
            "id",
            "status",
            "verdict",
            "result",
            "summary",
            "stage",
            "progress",
            "eta_s",
            "message",
            "attempt",
            "fail_on",
            "labels",
            "created_at",
            "started_at",
            "finished_at",
            "deadline_at",
        ]
        asked = {name: row.request[name] for name in ("backbone", "profile", "seed", "repair")}
        links = {"self": here, "events": f"{here}/events"}
        if row.status == "succeeded":
            for name in ("verdict", "report.json", "report.html", "artifacts", "attestation"):
                links[name.replace(".", "_")] = f"{here}/{name}"
            links["bom"] = f"{here}/bom.cdx.json"
        return cls(
            **{name: getattr(row, name) for name in copied},
            **asked,
            error=ErrorView(code=row.error_code, message=row.error_message or "")
            if row.error_code
            else None,
            artifact=ArtifactRef(
                upload_id=row.upload_id, sha256=row.artifact_sha256, size=row.artifact_size
            ),
            cancel_requested=row.cancel_requested_at is not None,
            links=links,
            webhook=webhook,
        )


class EventView(BaseModel):
    """One line of the history; ``seq`` rises by one."""

    seq: int
    ts: datetime
    status: StatusName
    attempt: int
    stage: str
    progress: float
    eta_s: float | None
    message: str

    @classmethod
    def of(cls, event: InspectionEvent) -> EventView:
        """The row's fields of the same names."""
        return cls.model_validate(event, from_attributes=True)
