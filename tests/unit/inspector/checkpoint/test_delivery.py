"""All models of an artifact, each read by a child of its own."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest
import safetensors.torch

from inspector.checkpoint import ReaderOptions, read_artifact, read_models
from inspector.checkpoint.delivery import MODELS
from tests.support.checkpoints import coop_state, save_dassl, torch_bytes

STATES = [coop_state(seed=seed) for seed in range(6)]


def hashes_of(path: Path, out: Path, options: ReaderOptions | None = None) -> list[str | None]:
    models = read_models(path, out, options or ReaderOptions())
    return [model.reading.canonical_sha256 for model in models]


@pytest.fixture
def expected(tmp_path: Path) -> list[str | None]:
    found = []
    for number, state in enumerate(STATES):
        path = tmp_path / f"plain-{number}.pth"
        path.write_bytes(torch_bytes(state))
        found.append(read_artifact(path, tmp_path / "plain").canonical_sha256)
    return found


def test_averaged_weights_beside_the_others(tmp_path: Path, expected: list[str | None]) -> None:
    path = tmp_path / "two.pth"
    path.write_bytes(torch_bytes({"state_dict": STATES[0], "state_dict_ema": STATES[1]}))
    assert hashes_of(path, tmp_path / "out") == expected[:2]
    models = read_models(path, tmp_path / "out", ReaderOptions())
    assert [finding.id for model in models for finding in model.reading.findings] == []
    chosen = ReaderOptions(state="state_dict_ema")
    assert hashes_of(path, tmp_path / "one", chosen) == expected[1:2]


def test_keys_inside_another_file(tmp_path: Path, expected: list[str | None]) -> None:
    """The other file of the folder has another model of its own."""
    folder = tmp_path / "run" / "prompt_learner"
    save_dassl(folder / "model-best.pth.tar", STATES[0], 3)
    inside = {"state_dict": STATES[1], "model_ema": STATES[2], "copy": STATES[0]}
    (folder / "model.pth.tar-50").write_bytes(torch_bytes(inside))
    assert hashes_of(tmp_path / "run", tmp_path / "out") == expected[:3]
    with tarfile.open(tmp_path / "run.tar", "w") as tar:
        tar.add(tmp_path / "run", "run")
    (tmp_path / "run.tar.gz").write_bytes(gzip.compress((tmp_path / "run.tar").read_bytes()))
    assert hashes_of(tmp_path / "run.tar.gz", tmp_path / "out") == expected[:3]


def test_what_is_left_out_forbids_a_clean_verdict(
    tmp_path: Path, expected: list[str | None]
) -> None:
    path = tmp_path / "many.pth"
    path.write_bytes(torch_bytes({str(number): state for number, state in enumerate(STATES)}))
    models = read_models(path, tmp_path / "out", ReaderOptions())
    assert [model.reading.canonical_sha256 for model in models] == expected[:MODELS]
    assert "other-model" in [finding.id for finding in models[0].reading.findings]


def test_a_model_in_two_containers(tmp_path: Path, expected: list[str | None]) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for first, second in ((0, 0), (0, 1)):
        plain = {name: tensor.clone() for name, tensor in STATES[first].items()}
        safetensors.torch.save_file(plain, folder / "model.safetensors")
        (folder / "pytorch_model.bin").write_bytes(torch_bytes(STATES[second]))
        found = hashes_of(folder, tmp_path / "out")
        assert found == expected[: second + 1]


@pytest.mark.parametrize("first", ["copy first", "other first"])
def test_two_models_whose_ways_look_alike(
    first: str, tmp_path: Path, expected: list[str | None]
) -> None:
    """A key with a slash, and a key in a key: neither may stand for the other."""
    flat, nested = (0, 1) if first == "copy first" else (1, 0)
    content = {"state_dict": STATES[0], "x/y": STATES[flat], "x": {"y": STATES[nested]}}
    content |= {"x/y#2": STATES[2], ".": STATES[3]}
    path = tmp_path / "alike.pth"
    path.write_bytes(torch_bytes(content))
    assert set(hashes_of(path, tmp_path / "out")) == set(expected[:4])
