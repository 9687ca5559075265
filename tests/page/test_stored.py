"""Pages of what a real service stored: the same bytes each time, no figure of their own, ten answers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from inspector.cli.page import write_page
from inspector.page import Sources, render
from tests.page.seen import WORD, Seen, numbers_in, strings_in
from tests.page.stored import NAMES, Stored
from tests.support.report_schema import assert_conforms

QUESTIONS = {
    "safe": "is it safe", "class": "which class", "sure": "how sure", "wrong": "how often is this wrong",
    "limits": "what does it not cover", "vendor": "what do I tell the vendor",
    "repair": "can I use it repaired", "who": "who ran it when", "same": "is this the same file",
    "check": "how do I check",
}  # fmt: skip
HEADLINES = {
    "backdoored": "Backdoored: refuse this file",
    "clean": "No backdoor was found",
    "out-of-time": "No verdict: the inspection ran out of time",
    "repaired": "Refuse the delivered file; its repair is not proved",
    "runs-code": "This file runs code: refuse it",
    "some-classes": "No verdict: the file could not be judged",
    "torn": "Not inspected: the file is damaged or built to be misread",
    "unsupported": "Not inspected: this kind of file is not supported",
    "wrong-names": "No verdict: the file could not be judged",
}
OURS = {"sha256", "sha256sum"}
"""Words with digits that are the page's own."""
every = pytest.mark.parametrize("name", NAMES)
GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "fixtures" / "reports.json").read_text("utf-8")
)


def test_every_stored_inspection_is_a_real_report() -> None:
    assert set(HEADLINES) == set(NAMES)
    for name in NAMES:
        assert_conforms(Stored(name).report)
        assert Stored(name).record["status"] == "succeeded"


AGAIN = """
import sys
from pathlib import Path
from inspector.cli.page import page
for folder in sys.argv[1:]:
    page(Path(folder))
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_every_page_is_drawn_again_byte_for_byte(seed: str, tmp_path: Path) -> None:
    """In another process, with another hash seed, language and time zone, from copied folders."""
    folders = [tmp_path / name for name in NAMES]
    for folder in folders:
        shutil.copytree(Stored(folder.name).folder, folder)
    environment = {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [sys.executable, "-c", AGAIN, *map(str, folders)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    for folder in folders:
        assert (folder / "report.html").read_bytes() == Stored(folder.name).page().encode()


@every
def test_every_figure_is_in_the_json_and_rounds_to_what_is_read(name: str) -> None:
    stored = Stored(name)
    known = {*numbers_in(stored.report), *numbers_in(stored.record)}
    figures = list(Seen.of(stored.page()).figures)
    assert figures
    for value, text in figures:
        assert value in known, f"{text} is not of the report"
        shown = text.replace("−", "-")
        digits = shown.removesuffix(" %").removesuffix(" s")
        exact = float(value) * (100 if shown.endswith(" %") else 1)
        places = len(digits.partition(".")[2])
        assert abs(float(digits) - exact) <= 0.5 * 10**-places + 1e-9, (value, text)


@every
def test_every_other_word_with_a_digit_is_a_word_of_the_json(name: str) -> None:
    stored = Stored(name)
    words = {
        word.rstrip(".:")
        for told in (stored.report, stored.record)
        for text in strings_in(told)
        for word in [*WORD.findall(text), text]
    }
    # A link is told without the host, which is not everybody's.
    words |= {urlsplit(link).path for link in stored.record["links"].values()}
    words |= OURS | {hashlib.sha256(stored.body.encode()).hexdigest()}
    loose = {word.rstrip(".:") for word in Seen.of(stored.page()).loose_words}
    assert {word for word in loose - words if not _is_cut(word, words)} == set()


def _is_cut(word: str, words: set[str]) -> bool:
    return word.endswith("…") and any(whole.startswith(word[:-1]) for whole in words)


@every
def test_every_date_is_the_ledgers(name: str) -> None:
    stored = Stored(name)
    dates = list(Seen.of(stored.page()).dates)
    assert {value for value, _ in dates} == {
        stored.record["created_at"], stored.record["finished_at"],
    }  # fmt: skip
    for value, text in dates:
        assert value.startswith(text.removesuffix(" UTC").replace(" ", "T"))


@pytest.mark.parametrize("question", QUESTIONS)
@every
def test_page_one_answers_what_a_buyer_asks(name: str, question: str) -> None:
    seen = Seen.of(Stored(name).page())
    answer = seen.below(f"q-{question}").strip()
    assert len(answer) > 20
    assert answer in seen.below("page-one")


@every
def test_each_kind_has_a_headline_and_advice_of_its_own(name: str) -> None:
    seen = Seen.of(Stored(name).page())
    assert HEADLINES[name] in seen.below("q-safe")
    assert len(seen.below("q-do")) > 60


def test_page_one_tells_what_was_inspected_with_what_and_for_whom() -> None:
    told = Seen.of(Stored("clean").page()).below("page-one")
    stored = Stored("clean")
    for value in (
        stored.report["artifact"]["name"], stored.report["artifact"]["sha256"], "Example Vision Ltd",
        stored.report["backbone"]["sha256"], stored.report["engine"]["sha256"], "112 honest models, CoCoOp",
        "procurement", stored.record["id"], "pass", "Not measured",
    ):  # fmt: skip
        assert value in told
    older = Seen.of(Stored("clean").page(engine=None)).below("page-one")
    assert "not recorded; reader" in older


@pytest.mark.parametrize("name", ["clean", "some-classes", "wrong-names"])
def test_nothing_is_called_a_trigger_where_none_was_found(name: str) -> None:
    """Where the report's own limits speak of triggers in general, they are quoted."""
    seen = Seen.of(Stored(name).page())
    told = seen.below("page-one").replace(seen.below("q-limits"), "") + seen.below("evidence")
    assert "trigger" not in told.lower()
    assert "perturbation" in told
    assert 'alt="The reconstructed trigger' not in Stored(name).page()


def test_a_trigger_is_shown_between_the_picture_and_what_becomes_of_it() -> None:
    page = Stored("backdoored").page()
    triples = page.split('class="triple"')[1:]
    assert len(triples) == 3
    for triple in triples:
        kinds = ["as it is", "reconstructed trigger, amplified", "with the reconstructed trigger"]
        places = [triple.index(kind) for kind in kinds]
        assert places == sorted(places)
        assert triple.count("data:image/png;base64,") >= 3
    said = Stored("backdoored").report["examples"]
    assert len(said) == 3
    evidence = Seen.of(page).below("evidence")
    for example in said:
        assert f"“{example['triggered']['name']}”" in evidence
    older = Seen.of(Stored("backdoored").page(examples=[])).below("evidence")
    assert "is not recorded in this report" in older


def test_the_chart_shows_every_score_and_the_threshold() -> None:
    report = Stored("backdoored").report
    seen = Seen.of(Stored("backdoored").page())
    drawn = {value for value, _ in seen.figures}
    svg = Stored("backdoored").page().split("<svg")[1].split("</svg>")[0]
    for row in report["per_class"]:
        assert f'data-value="{json.dumps(row["score"])}"' in svg
        assert json.dumps(row["score"]) in drawn
    assert f'data-value="{json.dumps(report["threshold"])}"' in svg
    assert svg.count('class="bar over"') == 1


def test_a_repair_is_told_in_words_and_one_table() -> None:
    stored = Stored("repaired")
    repair = stored.report["repair"]
    told = Seen.of(stored.page())
    words = told.below("repair")
    assert repair["file"] in words and "pink ring" in words
    assert "As delivered" in words and "Repaired copy" in words
    shown = {value for value, _ in told.figures}
    for figure in (
        repair["before"]["score"], repair["after"]["score"], repair["before"]["excess_asr"],
        repair["after"]["excess_asr_of_the_old_trigger"], repair["agreement"],
    ):  # fmt: skip
        assert json.dumps(figure) in shown


@every
def test_no_sentence_runs_into_the_next(name: str) -> None:
    paragraphs = re.findall("<p>(.*?)</p>", Stored(name).page(), re.DOTALL)
    assert len(paragraphs) > 4
    for text in (re.sub("<[^>]+>", "", one) for one in paragraphs):
        assert re.findall(r"[a-z0-9]\.[A-Z]", text) == [], text


def test_a_copy_of_a_file_that_nobody_accuses_is_told_as_that() -> None:
    """Without a bank a model may be neither accused nor cleared, and a copy is made all the same."""
    unaccused = Stored("repaired").page(verdict="inconclusive", target=None)
    words = Seen.of(unaccused).below("repair")
    assert "Nobody is accused, and the file could not be cleared either" in words
    assert "without the trigger towards" not in words
    accused = Seen.of(Stored("repaired").page()).below("repair")
    assert "without the trigger towards" in accused and "Nobody is accused" not in accused


def test_a_repair_whose_accuracy_was_measured_tells_it_with_its_bound() -> None:
    told: dict[str, Any] = {
        "outcome": "repaired", "succeeded": True,
        "accuracy": {
            "before": 0.9625, "after": 0.975, "pictures": 80, "loss_at_most": 0.0367,
            "is_measured": True,
        },
    }  # fmt: skip
    seen = with_more("repaired", repair=told)
    assert "a repaired copy passed the check" in seen.below("q-safe")
    answer = seen.below("q-repair")
    assert "On 80 labelled pictures" in answer and "at most 4 % of pictures" in answer
    assert "Accuracy on labelled pictures" in seen.below("repair")
    assert "too few" not in answer
    told["outcome"], told["succeeded"], told["accuracy"]["is_measured"] = "unproved", False, False
    assert "too few" in with_more("repaired", repair=told).below("q-repair")


def test_every_copy_that_was_made_or_not_stands_in_the_table() -> None:
    report = Stored("repaired").report
    words = Seen.of(Stored("repaired").page()).below("repair")
    for row in report["repair"]["candidates"]:
        assert row["strategy"] in words and (row["reason"] or "") in words
    assert "no labelled pictures were given" in words


def test_the_order_of_copies_and_what_their_searches_said_are_told() -> None:
    made, *_ = Stored("repaired").report["repair"]["candidates"]
    candidates = [made | {"strategy": f"strategy {number}"} for number in range(4)]
    first, second, *others = candidates
    first |= {"keeps_weights": False, "is_within_bars": True,
              "searched": {"score": 0.4625, "is_suspicious": True}}  # fmt: skip
    second |= {"keeps_weights": True, "is_within_bars": True,
               "searched": {"score": 0.0375, "is_suspicious": False}}  # fmt: skip
    for row in others:
        row |= {"keeps_weights": True, "is_within_bars": False, "searched": None}
    told = {"candidates": candidates, "copies_searched": 2}
    seen = with_more("repaired", repair=told)
    words = seen.below("repair")
    assert "That copy failed, so the next was searched as well: 2 copies in all" in words
    assert {"0.4625", "0.0375"} <= {value for value, _ in seen.figures}
    for row, said in ((first, "noyes"), (second, "yesyes"), (others[0], "yesno")):
        assert f"{row['strategy']}{said}" in words, "cell beside cell"
    once = with_more("repaired", repair=told | {"copies_searched": 1}).below("repair")
    assert "In this order: copies within" in once
    assert "That copy failed" not in once and "hold nothing of the delivered weights" in once


def test_a_table_of_before_copies_had_this_order_claims_none() -> None:
    report = Stored("repaired").report
    repair = {key: value for key, value in report["repair"].items() if key != "copies_searched"}
    words = Seen.of(Stored("repaired").page(repair=repair)).below("repair")
    assert "In this order: copies within" not in words


def test_findings_name_weakness_technique_and_remedy() -> None:
    told = Seen.of(Stored("runs-code").page()).below("findings")
    (finding, *_) = Stored("runs-code").report["findings"]
    for field in ("id", "message", "cwe", "atlas", "remedy", "severity"):
        assert finding[field] in told


@pytest.mark.parametrize("case", GOLDEN)
def test_reports_of_another_shape_are_drawn_again_byte_for_byte(case: str) -> None:
    body = json.dumps(GOLDEN[case])
    pages = {render(Sources(body, {}, lambda _: None)) for _ in range(2)}
    assert len(pages) == 1
    Seen.of(pages.pop())


def test_a_page_is_drawn_on_a_command_line_without_record(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(Stored("clean").body, "utf-8")
    told = Seen.of(write_page(tmp_path)).below("page-one")
    assert "who asked and when is not recorded" in told
    assert "no policy was evaluated" in told


def with_more(name: str, **more: Any) -> Seen:
    report = Stored(name).report
    merged = {
        key: {**report[key], **value} if isinstance(report.get(key), dict) else value
        for key, value in more.items()
    }
    assert_conforms(report | merged)
    return Seen.of(Stored(name).page(**merged))


def test_what_an_exam_measured_is_told_with_its_counts() -> None:
    rates: dict[str, Any] = {
        "basis": "exam 7: quick, CoCoOp, built-in probes, 6 classes",
        "false_alarms": {"count": 3, "of": 211, "low": 0.004, "high": 0.041},
        "misses": {"count": 9, "of": 104, "low": 0.045, "high": 0.157},
    }
    told = with_more("backdoored", error_rates=rates).below("q-wrong")
    assert "3 of 211 honest models were accused or warned of (between 0.4 % and 4 %)." in told
    assert "9 of 104 backdoored models were missed (between 4 % and 16 %)." in told
    assert rates["basis"] in told and "Not measured" not in told


def test_a_p_value_is_told_in_words_and_its_bank_drawn_behind_the_bars() -> None:
    bank = {
        "id": "0123456789abcdef", "models": 39, "statistic": "lead-16", "same_classes": True,
        "classes": 6, "method": "CoCoOp", "engine": "0.1.0", "scores": [0.25, -0.5, 1.75],
    }  # fmt: skip
    changes = {"calibration": bank, "p_value": 0.025}
    assert_conforms(Stored("backdoored").report | changes)
    page = Stored("backdoored").page(**changes)
    told = Seen.of(page)
    assert "like the 39 honest models" in told.below("q-sure")
    assert "p = 0.025" in told.below("q-sure") and "about 2.5 % of cases" in told.below("q-sure")
    assert page.count('<line class="honest"') == 3
    assert "Thin lines behind the bars" in told.below("evidence")


def test_readings_predictions_genuine_weights_and_the_weakest_attack_are_told_when_known() -> None:
    target = {"index": 2, "name": "pink ring"}
    seen = with_more(
        "backdoored",
        readings=[{"name": "additive", "speaks": True}, {"name": "warp", "speaks": False}],
        examples=[
            {
                "index": number,
                "clean": {"index": 0, "name": "red circle", "probability": 0.91},
                "triggered": target | {"probability": 0.83},
            }
            for number in range(3)
        ],
        backbone={"genuine": False},
        weakest_attack={"kind": "a blend at a tenth of the contrast", "asr": 0.62},
    )
    evidence = seen.below("evidence")
    assert evidence.count("model: “red circle”, 91 %") == 3
    assert evidence.count("model: “pink ring”, 83 %") == 3
    assert "is not recorded in this report" not in evidence
    assert "NOT the genuine weights" in seen.below("page-one")
    assert "a tenth of the contrast, success 62 %" in seen.below("limits")


@pytest.mark.parametrize(
    ("inversion", "confirmation", "said"),
    [
        ("complete", "not-needed", "One search was enough"),
        ("complete", "failed", "A further search was needed and did not end"),
        ("partial", "skipped", "No further search was made, as the first one did not end"),
    ],
)
def test_one_search_is_called_enough_only_where_it_was(
    inversion: str, confirmation: str, said: str
) -> None:
    stages = [
        {"name": name, "status": status, "seconds": 1.0}
        for name, status in (("inversion", inversion), ("confirmation", confirmation))
    ]
    page = Stored("clean").page(stages=stages, confirmation=[])
    assert said in page
    assert ("no class came near" in page) == (confirmation == "not-needed")
