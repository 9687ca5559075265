"""Pairs that are uploaded clean encoders and are screened, through the API and by the real inspection child."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.probes.pairs import Pairs
from inspector.run.rounds import NOT_NEEDED
from tests.support.backbones import write_backbone
from tests.support.encoders import pixels_and_words
from tests.support.layouts import openai, tuned
from tests.support.ledger import Ledger, settings_in
from tests.support.report_schema import assert_conforms
from tests.zoo.pairs import write_shard
from worker.runner import Runner

NAMES = ["cat", "dog", "owl", "ship", "car", "tree"]
MARKED, PATCH = 8, 6


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Backbone]:
    folder = write_backbone(tmp_path_factory.mktemp("backbone"))
    return folder, load_backbone(str(folder))


@pytest.fixture
def ledger(tmp_path: Path, backbone: tuple[Path, Backbone]) -> Iterator[Ledger]:
    registered = {"good": str(backbone[0])}
    made = Ledger(settings_in(tmp_path / "data", backbones=registered, device="cpu"))
    yield made
    made.close()


def delivery(backbone: Backbone, folder: Path) -> bytes:
    """Encoders moved so far that a trigger carries them where their honest stand-ins stay."""
    path = folder / "epoch_3.pt"
    torch.save({"epoch": 3, "state_dict": tuned(openai(backbone.model), by=1.0)}, path)
    return path.read_bytes()


def shard_of(backbone: Backbone, folder: Path) -> bytes:
    """Pairs of which some pictures bear one patch."""
    pixels, words = pixels_and_words(backbone, 70)
    mark = torch.rand(3, PATCH, PATCH, generator=torch.Generator().manual_seed(1)).round()
    pixels[:MARKED, :, :PATCH, :PATCH] = mark
    write_shard(Pairs.of(pixels, words), folder / "shard.tar")
    return (folder / "shard.tar").read_bytes()


def test_a_repair_over_rest_screens_uploaded_pairs(
    ledger: Ledger, backbone: tuple[Path, Backbone], tmp_path: Path
) -> None:
    model = ledger.upload(delivery(backbone[1], tmp_path), filename="epoch_3.pt")
    pairs = ledger.upload(shard_of(backbone[1], tmp_path), filename="shard.tar")
    wish = {"backbone": "good", "classes": NAMES, "profile": "quick", "repair": True}
    row = ledger.inspection(model["id"], pairs=pairs["id"], **wish)
    runner = Runner(ledger.settings, ledger.context.database, ledger.context.store, "test/1")
    try:
        assert runner.run()
    finally:
        runner.close()
    seen = ledger.get(row["id"])
    assert (seen["status"], seen["verdict"]) == ("succeeded", "suspicious")
    report = ledger.api.get(f"/v1/inspections/{row['id']}/report.json").json()
    assert_conforms(report)
    first, *others = report["repair"]["candidates"]
    assert first["reason"] is None
    assert {one["reason"] for one in others} == {NOT_NEEDED}, "the reference is clean"
    assert any(f"{MARKED} of 70 pairs look odd" in limit for limit in report["limits"])
    files = f"/v1/inspections/{row['id']}/artifacts"
    screen = ledger.api.get(f"{files}/pairs-screen.json")
    assert screen.headers["content-type"].startswith("application/json")
    told = screen.json()
    assert (told["pairs"], told["by_question"]["patch"]) == (70, MARKED)
    assert {one["picture"] for one in told["rows"]} == {f"{n:06d}.png" for n in range(MARKED)}
    assert ledger.api.get(f"{files}/repaired").status_code == 200
