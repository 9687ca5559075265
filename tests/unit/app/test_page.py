"""The HTML report: escaped, closed, readable without colour or script."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from app.models import Artifact
from app.reports import page

REPORT = {
    "verdict": "backdoored",
    "score": 3.21,
    "target": {"index": 1, "name": "<script>alert(1)</script>"},
    "artifact": {"name": "m.pth", "sha256": "ab", "size": 3},
    "per_class": [
        {
            "index": 0,
            "name": "cat",
            "score": 0.1,
            "own_trigger": {"asr_gain": 0.4112, "text_feature_shift": 0.7123},
            "random_triggers": {"warp": {"asr_gain": 0.2111}, "blend": {"asr_gain": 0.3444}},
        },
        {"index": 1, "name": "<script>alert(1)</script>", "score": 3.21},
        {"index": 2, "name": "no score"},
    ],
    "findings": [
        {"id": "x", "severity": "high", "message": "<img src=x onerror=y>"},
        {"id": "y", "severity": "low", "message": "m", "remedy": "Ask for <b>tensors</b>."},
    ],
    "models": [
        {"member": None, "state": "state_dict", "family": "CoOp", "verdict": "clean", "score": 0.1},
        {
            "member": "<b>",
            "state": "ema",
            "family": None,
            "verdict": "backdoored",
            "is_reported": True,
        },
    ],
    "limits": ["only what was looked for"],
    "repair": {"before": 0.9, "after": 0.0},
    "artifacts": [
        {"name": "example-0-clean.png", "description": "held-out probe 0 without trigger"},
        {"name": "trigger-1.png", "description": "trigger towards <b>"},
    ],
}


def picture(name: str, size: int = 4) -> Artifact:
    return Artifact(
        inspection_id="i", name=name, storage_key=name, sha256="cd", size=size,
        media_type="image/png",
    )  # fmt: skip


def render(artifacts: list[Artifact] | None = None) -> str:
    return page.render(json.dumps(REPORT), artifacts or [], lambda _item: b"\x89PNG")


def test_nothing_of_the_report_becomes_markup() -> None:
    text = render()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_every_model_of_a_delivery_is_shown() -> None:
    text = render()
    assert "<code>state_dict</code>" in text
    assert "<strong>backdoored</strong>" in text
    assert "&lt;b&gt;" in text


def test_a_finding_says_what_to_do_next() -> None:
    text = render()
    assert "<td>Ask for &lt;b&gt;tensors&lt;/b&gt;.</td>" in text
    assert "<td>–</td></tr>" in text


def test_the_policy_allows_this_very_style_and_no_other() -> None:
    style = re.search(r"<style>(.*?)</style>", render(), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policy = page.HEADERS["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "style=" not in render()


def test_the_verdict_is_a_word_and_a_sign() -> None:
    text = render()
    assert "Verdict: <strong>backdoored</strong>" in text
    assert "✗" in text


def test_pictures_are_inside_and_described() -> None:
    text = render([picture("trigger-1.png"), picture("example-0-clean.png"), picture("new.png")])
    encoded = base64.b64encode(b"\x89PNG").decode()
    assert f"data:image/png;base64,{encoded}" in text
    assert "trigger towards &lt;b&gt;" in text
    assert "held-out probe 0 without trigger" in text
    assert 'alt="new.png"' in text


def test_a_huge_picture_is_only_listed() -> None:
    text = render([picture("trigger-1.png", size=50_000_000)])
    assert "data:image" not in text
    assert "trigger-1.png" in text


def test_suspicious_classes_come_first() -> None:
    text = render()
    assert text.index("3.210") < text.index("0 cat") < text.index("2 no score")


def test_what_triggers_do_stands_in_the_row_of_their_class() -> None:
    row = render().split("<td>0 cat</td>")[1].split("</tr>")[0]
    shown = [cell.split("<")[0] for cell in row.split('<td class="number">')[1:]]
    assert shown[:4] == ["0.100", "0.411", "0.712", "0.344"]
    assert set(shown[4:]) == {"–"}


def test_a_bare_report_can_be_drawn() -> None:
    assert "inconclusive" in page.render('{"verdict": "inconclusive"}', [], lambda _item: b"")
