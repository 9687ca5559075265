"""Where an answer leads: OpenAPI links from what one operation answers to what another one takes.

Each link is named after the operation that it leads to.
"""

from __future__ import annotations

from typing import Any

_ID = "$response.body#/id"
_FIRST = "$response.body#/items/0/id"
_OF_AN_INSPECTION = (
    "get_inspection",
    "list_events",
    "cancel_inspection",
    "get_verdict",
    "get_report_json",
    "get_report_html",
    "get_report_pdf",
    "list_artifacts",
    "get_attestation",
    "get_attestation_bundle",
    "get_bom",
)


def _of_an_inspection(inspection_id: str) -> dict[str, dict[str, str]]:
    return {name: {"inspection_id": inspection_id} for name in _OF_AN_INSPECTION}


_LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("begin_upload", "201"): {
        "get_upload": {"upload_id": _ID},
        "put_part": {"upload_id": _ID, "number": "$response.body#/parts/0/part_number"},
        "complete_upload": {"upload_id": _ID},
    },
    ("find_uploads", "200"): {"get_upload": {"upload_id": _FIRST}},
    ("get_upload", "200"): {
        "put_part": {"upload_id": _ID, "number": "$response.body#/parts/0/part_number"},
    },
    ("put_part", "200"): {
        "get_upload": {"upload_id": "$request.path.upload_id"},
        "complete_upload": {"upload_id": "$request.path.upload_id"},
    },
    ("complete_upload", "200"): {
        "get_upload": {"upload_id": _ID},
        "get_model": {"sha256": "$response.body#/sha256"},
    },
    ("create_inspection", "202"): _of_an_inspection(_ID)
    | {
        "list_deliveries": {"inspection_id": _ID},
        "get_model": {"sha256": "$response.body#/artifact/sha256"},
    },
    ("list_inspections", "200"): _of_an_inspection(_FIRST),
    ("get_model", "200"): _of_an_inspection(_FIRST),
    ("add_policy", "201"): {"get_policy": {"policy_name": "$response.body#/name"}},
    ("list_policies", "200"): {"get_policy": {"policy_name": "$response.body#/items/0/name"}},
    ("list_artifacts", "200"): {
        "get_artifact": {
            "inspection_id": "$request.path.inspection_id",
            "name": "$response.body#/items/0/name",
        },
    },
    ("add_endpoint", "201"): {
        "get_endpoint": {"endpoint_id": _ID},
        "delete_endpoint": {"endpoint_id": _ID},
        "list_deliveries": {"endpoint_id": _ID},
    },
    ("list_endpoints", "200"): {"get_endpoint": {"endpoint_id": _FIRST}},
    ("list_deliveries", "200"): {"redeliver": {"delivery_id": _FIRST}},
}
_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("complete_upload", "200"): {"create_inspection": {"upload_id": _ID}},
}
"""Links to what takes a body: the part of it that is known."""


def links_of(operation_id: str, status: str) -> dict[str, Any]:
    """For ``links`` of one answer; empty where it leads nowhere."""
    answer = (operation_id, status)
    links: dict[str, Any] = {
        name: {"operationId": name, "parameters": parameters}
        for name, parameters in _LINKS.get(answer, {}).items()
    }
    for name, body in _BODIES.get(answer, {}).items():
        links[name] = {"operationId": name, "requestBody": body}
    return links
