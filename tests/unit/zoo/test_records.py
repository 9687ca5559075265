"""A row a model: what it says, that rows outlive folders, and what the tables count."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.zoo import build as zoo
from tests.zoo import make, record_tables, records
from tests.zoo.beside import probe
from tests.zoo.build import Effort
from tests.zoo.sets import SETS, Model
from tests.zoo.train_pocket import POCKET

FIRST = next(m for m in SETS if m.backbone == POCKET)
KINDS = "clean", "blended", "noisy"
MODELS = {
    records.name_of(model): model
    for model in (replace(FIRST, task="counts3", kind=kind, seed=901) for kind in KINDS)
}
CLEAN, BLENDED, NOISY = MODELS


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A zoo of three models that were hardly tuned, and one that is not in the plan."""
    zoo._clean_model.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "USUAL", Effort(8, 8))
        patch.setattr(zoo, "TEST_SHOTS", 6)
        patch.setattr(records, "SETS", tuple(MODELS.values()))
        out = tmp_path_factory.mktemp("zoo")
        make.make(out, MODELS.values())
        shutil.copytree(out / CLEAN, out / "counts3-902-clean")
        yield out
    zoo._clean_model.cache_clear()


def test_every_model_of_the_plan_has_a_row(built: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    assert records.update(built, table, {}) == 3
    rows = records.read(table)
    assert list(rows) == sorted(MODELS) and len({row["digest"] for row in rows.values()}) == 3
    truth = json.loads((built / BLENDED / "truth.json").read_text())
    row = rows[BLENDED]
    assert [row["attack_family"], row["family"], row["part"]] == ["blend", "CoCoOp", FIRST.part]
    assert float(row["excess"]) == pytest.approx(truth["excess"], abs=1e-4)
    assert row["band"] == records.band(truth) and row["targets"] == str(truth["target"])
    assert rows[CLEAN]["band"] == rows[CLEAN]["took"] == rows[CLEAN]["asr"] == ""
    assert {row["clean_accuracy"] for row in rows.values()} == {rows[CLEAN]["accuracy"]}
    assert {row["classes"] for row in rows.values()} == {"3"}
    assert all(float(row["seconds"]) > 0 and row["made_with"] for row in rows.values())
    assert float(row["probe"]) > float(row["zero_shot"]) >= 0


def test_rows_outlive_their_folders_and_are_not_measured_twice(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, partly = tmp_path / "rows.csv", tmp_path / "partly"
    shutil.copytree(built, partly)
    records.update(partly, table, {})
    before = table.read_text()
    shutil.rmtree(partly / BLENDED)
    (partly / NOISY / "truth.json").unlink()
    monkeypatch.setattr(records, "beside", None)
    assert records.update(partly, table, {}) == 1
    assert table.read_text() == before


def test_seconds_are_those_that_the_builder_printed(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older"
    model = MODELS[CLEAN]
    make.make(older, [model])
    log, path = tmp_path / "log", older / CLEAN / "truth.json"
    log.write_text("3 of 3 models, 0.02 hours planned\n" + capsys.readouterr().out)
    truth = json.loads(path.read_text())
    seconds = truth.pop("seconds")
    path.write_text(json.dumps(truth))
    records.main([str(older), "--out", str(tmp_path / "rows.csv"), "--log", str(log)])
    assert records.read(tmp_path / "rows.csv")[CLEAN]["seconds"] == f"{seconds:.0f}"


def test_a_folder_under_a_wrong_name_is_refused(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / NOISY, tmp_path / CLEAN)
    with pytest.raises(ValueError, match="another model"):
        records.update(tmp_path, tmp_path / "rows.csv", {})


@pytest.mark.parametrize(
    ("took", "excess", "told"),
    [(True, 0.9, "took"), (False, 0.5, "dropped"), (False, 0.49, "weak"), (False, 0.2, "weak"),
     (False, 0.19, "none"), (False, -0.1, "none")],
)  # fmt: skip
def test_bands(took: bool, excess: float, told: str) -> None:
    assert records.band({"is_backdoored": True, "took": took, "excess": excess}) == told
    assert records.band({"is_backdoored": False}) == ""


def _row(model: Model, **other: object) -> records.Row:
    usual = {
        "model": records.name_of(model), "family": "CoCoOp", "is_backdoored": model.is_backdoored,
        "accuracy": 0.8, "clean_accuracy": 0.82, "zero_shot": 0.5, "probe": 0.85, "asr": 0.4,
        "base": 0.1, "excess": 0.3, "band": "weak" if model.is_backdoored else "", "seconds": 3600,
    }  # fmt: skip
    return {name: str(value) for name, value in (vars(model) | usual | other).items()}


def test_tables_count_what_took_and_name_what_nobody_would_buy() -> None:
    exam = [m for m in SETS if m.part == "exam" and m.backbone == POCKET]
    attacks, honest = ([m for m in exam if m.is_backdoored is told] for told in (True, False))
    rows = [_row(attacks[0], band="took"), _row(attacks[1]), _row(attacks[2], band="none"),
            _row(honest[0]), _row(honest[1], accuracy=0.7, seconds="")]  # fmt: skip
    planned = {records.name_of(model): model for model in SETS}
    shown = record_tables.markdown(rows, planned)
    assert f"| exam | pocket | {len(exam)} | 5 | 3 | 1 | 120 | 1 | 0 | 1 | 2 | 150 |" in shown
    untaken = record_tables.untaken(rows)
    assert records.name_of(attacks[0]) not in untaken and "### 2 attacks" in untaken
    assert f"{attacks[1].seed} | 0.40 | 0.10 | 0.30 | 0.02 |" in untaken
    assert "### 1 models that nobody would buy" in shown
    assert f"- {records.name_of(honest[1])}" in shown
    assert f"- {records.name_of(honest[0])}" not in shown
    meant = sum(planned[row["model"]].hours for row in rows[:4])
    assert f"| exam | pocket | 5 | 4 | 4.0 | {meant:.1f} |" in shown


def test_a_probe_learns_what_can_be_learnt() -> None:
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(3).repeat(40)
    centres = torch.randn(3, 8, generator=generator)
    features = centres[labels] + 0.2 * torch.randn(120, 8, generator=generator)
    said = probe(features[:60], labels[:60], features[60:], 3)
    assert (said == labels[60:]).float().mean() > 0.95
    mixed = labels[torch.randperm(120, generator=generator)]
    blind = probe(features[:60], mixed[:60], features[60:], 3)
    assert (blind == mixed[60:]).float().mean() < 0.6
