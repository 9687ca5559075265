"""Encoders are repaired within an inspection: copies, words, what is kept, and what pairs do for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from inspector.checkpoint import Reading
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.rewrite import RewritePaths, rewrite_here
from inspector.errors import RequestError
from inspector.manifest import Manifest
from inspector.probes.labelled import load_labelled
from inspector.probes.pairs import Pairs
from inspector.repair.encoders.restore import Restore
from inspector.run.encoder_check import SCREEN_NAME
from inspector.run.rounds import NOT_NEEDED
from tests.support.encoders import pixels_and_words
from tests.support.layouts import openai, tuned
from tests.unit.inspector.run.test_pipeline import NAMES, RULE, Bench, scores, statuses
from tests.unit.inspector.run.test_repair_check import labelled, leaving_nothing
from tests.unit.inspector.run.test_stages import bench
from tests.zoo.pairs import write_folder

__all__ = ["bench"]  # A fixture.
FILE, CALM = "repaired.safetensors", RULE.warn - 1.01
MANIFEST = Manifest.parse({"classnames": list(NAMES), "template": "a photo of a {}."})


def artifact_of(bench: Bench) -> Path:
    path = bench.folder / "epoch_3.pt"
    state = tuned(openai(bench.backbone.model), by=0.3)
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, path)
    return path


def read(artifact: Path) -> tuple[Reading, Path]:
    scratch = artifact.parent / "read"
    scratch.mkdir(exist_ok=True)
    reading = read_here(artifact, scratch, ReaderOptions())
    assert reading.canonical, reading.findings
    return reading, scratch / reading.canonical


def repaired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *of_copies: float, **wish: Any
) -> dict[str, Any]:
    scores(monkeypatch, 9.0, 9.0, *(of_copies or (CALM,)))
    given: dict[str, Any] = {"repair": True, "manifest": MANIFEST} | wish
    report = bench.inspect_read(*read(artifact_of(bench)), **given)
    assert report["verdict"] == "backdoored"
    return report


def pairs_in(bench: Bench, number: int) -> str:
    folder = bench.folder / "pairs"
    write_folder(Pairs.of(*pixels_and_words(bench.backbone, number)), folder)
    return str(folder)


def test_where_the_reference_is_clean_nothing_else_is_made_and_it_goes_into_the_vendors_container(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving_nothing(monkeypatch)
    report = repaired(bench, monkeypatch, pairs=pairs_in(bench, 70))
    told = report["repair"]
    assert statuses(report)["repair"] == "complete"
    assert told["outcome"] == "unproved"  # No labels measured accuracy.
    assert told["strategy"] == told["candidates"][0]["strategy"] == Restore().name
    assert [row["reason"] for row in told["candidates"]] == [None, *4 * [NOT_NEEDED]]
    kept, artifact = load_file(bench.out / FILE), bench.folder / "epoch_3.pt"
    out = bench.folder / "out.pt"
    rewrite_here(RewritePaths(artifact, bench.out / FILE, out, bench.folder), ReaderOptions())
    again = torch.load(out, weights_only=True)["state_dict"]
    assert kept and all(torch.equal(again[name], value) for name, value in kept.items())
    screen = json.loads((bench.out / SCREEN_NAME).read_text())
    assert (screen["pairs"], screen["left_out"]) == (70, None)
    assert SCREEN_NAME in {item["name"] for item in report["artifacts"]}


def test_where_the_reference_is_suspicious_all_strategies_are_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving_nothing(monkeypatch)
    accused = RULE.flag + 6
    report = repaired(bench, monkeypatch, accused, accused, CALM, pairs=pairs_in(bench, 70))
    told = report["repair"]
    assert len(told["candidates"]) == 5
    assert [row["reason"] for row in told["candidates"]] == 5 * [None]
    assert (told["outcome"], told["copies_searched"]) == ("unproved", 2)
    assert told["strategy"] == told["candidates"][1]["strategy"] != Restore().name


def test_without_pairs_the_reference_is_all_that_there_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    accused = RULE.flag + 6
    told = repaired(bench, monkeypatch, accused, accused)["repair"]
    assert (told["strategy"], told["outcome"]) == (Restore().name, "failed")
    reasons = [row["reason"] for row in told["candidates"][1:]]
    assert len(reasons) == 4 and all("pairs" in reason for reason in reasons)
    assert not (bench.out / SCREEN_NAME).exists()


def test_labelled_pictures_teach_as_pairs_and_measure_the_copy_by_its_own_encoders(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(labelled(bench, 44))
    told = repaired(bench, monkeypatch, labelled=folder)["repair"]
    assert told["accuracy"]["pictures"] == 66
    assert all(row["reason"] is None for row in told["candidates"])
    (row,) = (row for row in told["candidates"] if row["strategy"] == Restore().name)
    _, measuring = load_labelled(folder, NAMES, bench.backbone.image_size, str).halves()
    with torch.no_grad():
        text = bench.backbone.zero_shot(list(NAMES))
        said = (bench.backbone.image_features(measuring.pixels) @ text.T).argmax(1)
    right = (said == measuring.labels).float().mean().item()
    assert row["accuracy_after"] == pytest.approx(right)
    assert row["accuracy_before"] == told["accuracy"]["before"]


def test_pairs_serve_encoders_and_a_repair(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    given = pairs_in(bench, 4)
    with pytest.raises(RequestError) as caught:
        bench.inspect(pairs=given)
    assert caught.value.field == "pairs"
    scores(monkeypatch, 0.5)
    report = bench.inspect(repair=True, pairs=given)
    assert any("Pairs clean encoders only" in limit for limit in report["limits"])


def test_pairs_that_are_none_are_told_before_the_search(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError) as caught:
        repaired(bench, monkeypatch, pairs=str(bench.folder / "nowhere"))
    assert caught.value.field == "pairs"
    assert "inversion" not in {event.get("stage") for event in bench.events}
