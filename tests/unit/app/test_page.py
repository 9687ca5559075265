"""The page over REST: what it may load, which files it is drawn from, what happens when they are gone."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from app.models import Artifact
from app.reports import page
from tests.page.seen import Seen
from tests.page.stored import Stored

STORED = Stored("backdoored")
SIZES = {
    file["name"]: len(STORED.fetch(file["name"]) or b"") for file in STORED.report["artifacts"]
}


def kept(**sizes: int) -> list[Artifact]:
    return [
        Artifact(
            inspection_id="i", name=file["name"], storage_key=file["name"], sha256=file["sha256"],
            size=sizes.get("size", SIZES[file["name"]]), media_type=file["media_type"],
        )
        for file in STORED.report["artifacts"]
    ]  # fmt: skip


def render(artifacts: list[Artifact]) -> str:
    return page.render(STORED.body, STORED.record, artifacts, lambda item: STORED.fetch(item.name))


def test_it_is_the_page_of_the_command_line() -> None:
    assert render(kept()) == STORED.page()


def test_the_policy_allows_this_very_style_and_no_other() -> None:
    style = re.search(r"<style>(.*?)</style>", render([]), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policy = page.HEADERS["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "img-src data:" in policy
    assert "style=" not in render(kept())


def test_pictures_that_are_gone_unknown_or_huge_are_left_out() -> None:
    gone = page.render(STORED.body, STORED.record, kept(), lambda _item: None)
    for text in (gone, render([]), render(kept(size=50_000_000))):
        assert "data:image" not in text
        assert "are left out" in text


def test_a_signature_and_a_policy_are_told_when_the_ledger_has_them() -> None:
    here = f"/v1/inspections/{STORED.record['id']}/attestation"
    record = STORED.record | {
        "links": {"attestation": f"https://vet.example{here}"},
        "policy": {"name": "production", "version": 3},
        "policy_result": "fail",
        "rules": [
            {
                "rule": "engine",
                "status": "failed",
                "found": "0.1.0",
                "wanted": "0.2",
                "remedy": "Ask again.",
            }
        ],
    }
    seen = Seen.of(page.render(STORED.body, record, [], lambda _item: None))
    assert here in seen.below("signature") and "clipvet verify" in seen.below("signature")
    assert "https://vet.example" not in seen.below("signature")
    assert "fail under “production”, version 3" in seen.below("page-one")
    for value in ("engine", "0.1.0", "0.2", "Ask again."):
        assert value in seen.below("policy")
    unsigned = {name: value for name, value in STORED.record.items() if name != "links"}
    plain = Seen.of(page.render(STORED.body, unsigned, [], lambda _item: None))
    assert "no signature" in plain.below("signature")
    assert "the result is fail" in plain.below("policy")


def test_a_bare_report_can_be_drawn() -> None:
    text = page.render(json.dumps({"verdict": "inconclusive"}), {}, [], lambda _item: b"")
    assert "No verdict" in text
