"""Tables, one subject per file, no behaviour. Importing this package registers all of them."""

from app.models.attestation import Attestation
from app.models.chore import Chore
from app.models.idempotency import IdempotencyKey
from app.models.inspection import (
    ACTIVE,
    TERMINAL,
    Artifact,
    Inspection,
    InspectionEvent,
    Report,
    Status,
)
from app.models.outbox import Dispatch
from app.models.policy import PolicyVersion
from app.models.upload import Upload, UploadPart
from app.models.webhook import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.models.worker import WorkerBeat

__all__ = [
    "ACTIVE",
    "TERMINAL",
    "Artifact",
    "Attestation",
    "Chore",
    "Dispatch",
    "IdempotencyKey",
    "Inspection",
    "InspectionEvent",
    "PolicyVersion",
    "Report",
    "Status",
    "Upload",
    "UploadPart",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WorkerBeat",
]
