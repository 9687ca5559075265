"""The OpenAPI document: what it says beyond FastAPI's own."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from app.paging import after_number, before, cut, cut_history
from app.strict import parse_json
from app.webhooks.signing import decode_secret, new_secret
from tests.support.ledger import Ledger, settings_in

Json = dict[str, Any]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    made = Ledger(settings_in(tmp_path_factory.mktemp("described")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def document(ledger: Ledger) -> Json:
    return dict(ledger.api.get("/openapi.json").json())


def operations(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from item.values()


def test_operations_have_short_names_and_each_its_own(document: Json) -> None:
    names = [one["operationId"] for one in operations(document)]
    assert len(set(names)) == len(names)
    assert {"begin_upload", "put_part", "create_inspection"} <= set(names)


def test_links_lead_to_operations_and_fill_in_what_these_take(document: Json) -> None:
    by_name = {one["operationId"]: one for one in operations(document)}
    seen = 0
    for operation in by_name.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                target = by_name[link["operationId"]]
                taken = {parameter["name"] for parameter in target.get("parameters", [])}
                assert set(link.get("parameters", {})) <= taken
                assert "requestBody" not in link or "requestBody" in target
                seen += 1
    assert seen > 30


def test_every_answer_tells_its_headers(document: Json) -> None:
    for operation in operations(document):
        for status, answer in operation["responses"].items():
            assert "X-Request-ID" in answer["headers"], (operation["operationId"], status)
    created = {"begin_upload": "201", "create_inspection": "202"}
    for operation in operations(document):
        if (status := created.get(operation["operationId"])) is not None:
            assert operation["responses"][status]["headers"]["Location"]["required"]


WISH = {"backbone": "pocket"}
UPLOAD, SHA = {"upload_id": "upl_" + "0" * 32}, {"sha256": "0" * 64}
CLASSES, MANIFEST = {"classes": ["a"]}, {"manifest": {"classnames": ["a"]}}
PROBES = {"probes": "upl_" + "1" * 32}
LABELLED = {"labelled": "upl_" + "2" * 32}
PAIRS = {"pairs": "upl_" + "3" * 32}
BODIES: list[Json] = [
    WISH | UPLOAD | CLASSES,
    WISH | SHA | MANIFEST,
    WISH | UPLOAD | {"sha256": None, "manifest": None} | CLASSES,
    WISH | CLASSES,
    WISH | UPLOAD,
    WISH | UPLOAD | SHA | CLASSES,
    WISH | UPLOAD | CLASSES | MANIFEST,
    WISH | UPLOAD | {"classes": []},
    WISH | UPLOAD | {"manifest": {}},
    WISH | UPLOAD | {"manifest": {"classnames": []}},
    WISH | UPLOAD | {"manifest": {"classnames": "abc"}},
    WISH | UPLOAD | {"manifest": {"classnames": [1]}},
    WISH | UPLOAD | {"manifest": {"classnames": ["a"], "alpha": {"deep": [None, True, 1.5]}}},
    WISH | UPLOAD | {"manifest": {"classnames": ["a"], "alpha": 2**63}},
    WISH | UPLOAD | {"manifest": {"classnames": ["a"], "alpha": [-(2**63)]}},
    WISH | UPLOAD | {"manifest": {"classnames": ["a"], "alpha": 1e19}},
    WISH | UPLOAD | {"manifest": {"classnames": ["a"], "alpha": ["\x00"]}},
    WISH | UPLOAD | {"manifest": {"classnames": ["a"], "\x00": 1}},
    WISH | UPLOAD | {"classes": ["a\x00"]},
    WISH | UPLOAD | CLASSES | {"labels": {"a": "\x00"}},
    WISH | UPLOAD | CLASSES | {"labels": {"\x00": "a"}},
    WISH | UPLOAD | CLASSES | {"labels": {"\x00": True}},
    WISH | UPLOAD | CLASSES | {"labels": {"a" * 200: "b" * 200}},
    WISH | UPLOAD | CLASSES | {"labels": {"a" * 201: "b"}},
    WISH | UPLOAD | CLASSES | {"labels": {"a": "b" * 201}},
    WISH | UPLOAD | CLASSES | {"in_distribution": True},
    WISH | UPLOAD | CLASSES | {"in_distribution": True, "probes": "builtin"},
    WISH | UPLOAD | CLASSES | {"in_distribution": True} | PROBES,
    WISH | UPLOAD | CLASSES | {"in_distribution": False},
    WISH | UPLOAD | CLASSES | LABELLED,
    WISH | UPLOAD | CLASSES | LABELLED | {"repair": False},
    WISH | UPLOAD | CLASSES | LABELLED | {"repair": True},
    WISH | UPLOAD | CLASSES | {"labelled": None, "repair": False},
    WISH | UPLOAD | CLASSES | {"labelled": "builtin", "repair": True},
    WISH | UPLOAD | CLASSES | PAIRS,
    WISH | UPLOAD | CLASSES | PAIRS | {"repair": False},
    WISH | UPLOAD | CLASSES | PAIRS | LABELLED | {"repair": True},
    WISH | UPLOAD | CLASSES | {"pairs": None, "repair": False},
    WISH | UPLOAD | CLASSES | {"pairs": "/tmp/shard.tar", "repair": True},
]


@pytest.mark.parametrize("body", BODIES)
def test_the_document_and_the_api_agree_on_a_wish(
    ledger: Ledger, document: Json, body: Json
) -> None:
    schema = {"$ref": "#/components/schemas/InspectionCreate", "components": document["components"]}
    fits = jsonschema.Draft202012Validator(schema).is_valid(body)
    answer = ledger.api.post("/v1/inspections", json=body)
    # What fits is refused only because nothing of that id is here.
    assert answer.status_code == (404 if fits else 422), answer.text


def is_secret(text: str) -> bool:
    try:
        decode_secret(text)
    except ValueError:
        return False
    return True


def test_the_document_and_the_api_agree_on_secrets(document: Json) -> None:
    told = document["components"]["schemas"]["EndpointCreate"]["properties"]["secret"]["anyOf"][0]
    fits = re.compile(told["pattern"]).search
    assert fits(new_secret())
    for length in range(20, 70):
        secret = "whsec_" + base64.b64encode(bytes(range(length))).decode()
        assert (fits(secret) is not None) == is_secret(secret) == (24 <= length <= 64)
        assert not fits(secret.removeprefix("whsec_"))


def test_tokens_are_digits_that_lead_on() -> None:
    ids = [f"insp_{number:032x}" for number in (9, 8, 7)]
    page = cut(["a", "b", "c"], ids, 2)
    assert page.items == ["a", "b"]
    assert before("insp", page.next_page_token) == ids[1]
    history = cut_history(["a", "b", "c"], [1, 2, 3], 2)
    assert after_number(history.next_page_token) == 2
    assert after_number("f" * 32) == 2**31 - 1
    assert cut(["a"], ids[:1], 1).next_page_token is None


def test_what_can_be_kept_fits_the_schema_of_it(document: Json) -> None:
    schema = {"$ref": "#/components/schemas/Json", "components": document["components"]}
    kept = parse_json(b'{"a": [null, true, -9223372036854775808, 1.5e18, "\\ud83d\\ude00", {}]}')
    assert jsonschema.Draft202012Validator(schema).is_valid(kept)
