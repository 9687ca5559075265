"""Class names of the fixtures by index alone, and what an index keeps silent about."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inspector.checkpoint import ArtifactInfo, Reading, TensorInfo, read_artifact
from inspector.checkpoint.families.zero_shot import STATEMENT
from inspector.clip.naming import (
    names_by_backbone,
    names_by_index,
    names_by_statement,
    token_embedding,
)
from inspector.clip.vocabulary import TokenIndex, build_index, shipped_indexes
from inspector.manifest import spoken

FIXTURES = Path(__file__).parents[4].parent / "shared" / "conformance"
CASES = sorted(path.parent.name for path in FIXTURES.glob("*/manifest.json"))


@pytest.fixture(scope="module")
def indexes() -> list[TokenIndex]:
    """Of all backbones of the fixtures, two of one width, and the shipped ones."""
    folders = sorted((FIXTURES / "backbones").glob("*/open_clip"))
    if not folders:
        pytest.skip("the conformance fixtures are not beside the project")
    made = [build_index(f.parent.name, "", token_embedding(str(f))) for f in folders]
    return [*made, *shipped_indexes()]


def read(case: str, out: Path) -> tuple[Reading, Path]:
    """The case's reading and canonical tensors; skips what has no frozen rows to read."""
    manifest = json.loads((FIXTURES / case / "manifest.json").read_text("utf-8"))
    checkpoint = manifest.get("checkpoint")
    if checkpoint is None:
        pytest.skip("no checkpoint in this case")
    reading = read_artifact(FIXTURES / case / checkpoint, out)
    if reading.canonical is None or reading.family == "PromptSRC":
        pytest.skip(f"{reading.family}: no exact rows to read")
    if not any(tensor.name.endswith("token_suffix") for tensor in reading.tensors):
        pytest.skip(f"{reading.family} keeps no frozen rows")
    return reading, out / reading.canonical


@pytest.mark.parametrize("case", CASES)
def test_an_index_names_the_classes_that_the_backbone_does(
    case: str, indexes: list[TokenIndex], tmp_path: Path
) -> None:
    reading, canonical = read(case, tmp_path)
    manifest = json.loads((FIXTURES / case / "manifest.json").read_text("utf-8"))
    found = names_by_index(reading, canonical, indexes)
    assert (found.vocabulary, found.by, found.findings) == (manifest["backbone"], "index", ())
    folder = FIXTURES / manifest["backbone_dir"] / "open_clip"
    asked = names_by_backbone(reading, canonical, str(folder))
    assert found.names == asked.names
    assert list(found.names or ()) == [spoken(name) for name in manifest["classnames"]]


def test_indexes_of_other_backbones_are_silent(indexes: list[TokenIndex], tmp_path: Path) -> None:
    reading, canonical = read("coop-generic4-end", tmp_path)
    others = [index for index in indexes if index.name != "vit-a"]
    found = names_by_index(reading, canonical, others)
    assert (found.names, found.vocabulary, found.findings) == (None, None, ())


def test_one_row_that_the_index_does_not_know_is_a_finding(
    indexes: list[TokenIndex], tmp_path: Path
) -> None:
    reading, canonical = read("coop-generic4-end", tmp_path)
    state = load_file(canonical)
    state["token_suffix"][3, 1, 7] += np.float32(0.5)
    save_file(state, canonical)
    found = names_by_index(reading, canonical, indexes)
    assert (found.names, found.vocabulary) == (None, "vit-a")
    assert [finding.id for finding in found.findings] == ["token-suffix-altered"]
    assert "row 1 of class 3" in found.findings[0].message


def test_sets_of_prompts_that_name_other_classes_are_a_finding(
    indexes: list[TokenIndex], tmp_path: Path
) -> None:
    reading, canonical = read("plot-rn-N4", tmp_path)
    state = load_file(canonical)
    state["token_suffix"][7] = state["token_suffix"][3]
    save_file(state, canonical)
    found = names_by_index(reading, canonical, indexes)
    assert (found.names, found.vocabulary) == (None, "rn-a")
    assert [finding.id for finding in found.findings] == ["token-suffix-altered"]


@pytest.mark.parametrize(
    ("classnames", "names", "ids"),
    [(["cat", "stop_sign"], ("cat", "stop_sign"), []), ([7], None, ["statement-malformed"])],
)
def test_zero_shot_prompts_state_their_classes(
    classnames: list[object], names: tuple[str, ...] | None, ids: list[str], tmp_path: Path
) -> None:
    raw = json.dumps({"templates": ["a photo of a {}."], "classnames": classnames}).encode()
    save_file({STATEMENT: np.frombuffer(raw, np.uint8)}, tmp_path / "canonical")
    info = ArtifactInfo("prompts.json", None, len(raw), "json")
    reading = Reading(info, tensors=(TensorInfo(STATEMENT, (len(raw),), "U8"),))
    found = names_by_statement(reading, tmp_path / "canonical")
    assert found is not None
    assert (found.names, found.vocabulary) == (names, None)
    assert [finding.id for finding in found.findings] == ids
    assert names_by_statement(Reading(info), tmp_path / "canonical") is None
