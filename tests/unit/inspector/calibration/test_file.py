"""The file: what comes back is what was written, and nothing else is taken for a calibration."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.calibration import ClassNames, load, method_of, save
from inspector.errors import RequestError
from tests.unit.inspector.calibration.conftest import bank


def test_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.json"
    save(bank(), path)
    again = load(path)
    assert again.to_json() == bank().to_json()
    assert again.id == bank().id == json.loads(path.read_text())["id"]
    assert len(again.id) == 16
    assert again.scores == (-0.1, 0.0, 0.1, 0.2, 0.3)
    assert [recipe["seed"] for recipe in again.recipes] == [1, 2, 4, 3, 0]
    before = path.read_bytes()
    save(again, path)
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == ["c.json"]


def test_every_fact_is_in_the_id() -> None:
    others = [bank(seed=4), bank(names=("cat", "dog")), bank(profile="standard"),
              bank((0.3, -0.1, 0.0, 0.2, 0.11))]  # fmt: skip
    assert len({made.id for made in [bank(), *others]}) == 5


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, tuple[str, Change]] = {
    "another score": ("calibration.id", lambda c: c["scores"].__setitem__(4, 0.4)),
    "another id": ("calibration.id", lambda c: c.update(id="0" * 16)),
    "no id": ("calibration.id", lambda c: c.pop("id")),
    "another recipe": ("calibration.id", lambda c: c["recipes"][0].update(rate=3)),
    "something more": ("calibration.note", lambda c: c.update(note="trust me")),
    "another schema": ("calibration.schema", lambda c: c.update(schema="clipvet-calibration/1")),
    "no schema": ("calibration.schema", lambda c: c.pop("schema")),
    "four": ("calibration.scores", lambda c: (c["scores"].pop(), c["recipes"].pop())),
    "no list": ("calibration.scores", lambda c: c.update(scores=0.1)),
    "text": ("calibration.scores[4]", lambda c: c["scores"].__setitem__(4, "0.4")),
    "true": ("calibration.scores[4]", lambda c: c["scores"].__setitem__(4, True)),
    "unordered": ("calibration.scores", lambda c: c["scores"].reverse()),
    "a recipe less": ("calibration.recipes", lambda c: c["recipes"].pop()),
    "kind of another method": ("calibration.kind", lambda c: c.update(kind="static")),
    "method": ("calibration.method", lambda c: c.update(method="MaPLe")),
    "no text": ("calibration.profile", lambda c: c.update(profile=1)),
    "seed": ("calibration.seed", lambda c: c.update(seed=-1)),
    "no backbone": ("calibration.backbone", lambda c: c.update(backbone=None)),
    "half a backbone": ("calibration.backbone.mean", lambda c: c["backbone"].pop("mean")),
    "one class": ("calibration.classes.count", lambda c: c["classes"].update(count=1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_refused(change: str, tmp_path: Path) -> None:
    field, apply = CHANGES[change]
    content = bank().to_json()
    apply(content)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError) as caught:
        load(path)
    assert caught.value.field == field
    assert "c.json" in caught.value.detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_scores_are_finite(number: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    text = json.dumps(bank().to_json())
    assert text.endswith("0.3]}")
    path.write_text(text.removesuffix("0.3]}") + f"{number}]}}")
    with pytest.raises(RequestError, match="calibration"):
        load(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "[" * 100_000])
def test_what_is_no_calibration_at_all(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(RequestError, match="calibration"):
        load(path)


def test_class_lists_are_told_apart_as_the_tokenizer_does() -> None:
    assert ClassNames.of(["Stop_Sign", "cat"]) == ClassNames.of(["stop sign", "cat"])
    assert ClassNames.of(["cat", "stop sign"]) != ClassNames.of(["stop sign", "cat"])
    assert ClassNames.of(["a", "b c"]) != ClassNames.of(["a b", "c"])


def test_only_families_of_the_same_form_have_a_method() -> None:
    assert method_of("BadCLIP") == method_of("CoCoOp") == "CoCoOp"
    assert method_of("KgCoOp") == "CoOp"
    assert method_of("MaPLe") is None


def test_no_torch_is_imported() -> None:
    code = (
        "import inspector.calibration, inspector.cli.calibrate, sys; "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    root = Path(__file__).parents[4]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
