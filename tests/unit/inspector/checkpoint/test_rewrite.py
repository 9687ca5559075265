"""The vendor's container with new values: torch loads it, and nothing else has changed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from inspector.checkpoint import read_artifact, rewrite_artifact
from inspector.errors import ArtifactError
from tests.support.checkpoints import (
    call_opcodes,
    cocoop_state,
    coop_state,
    plant_pickle,
    save_dassl,
    save_dassl_folder,
)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def replacement(tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
    path = tmp_path / "replacement.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_new_values_and_all_else_equal(legacy: bool, tmp_path: Path) -> None:
    source = save_dassl(tmp_path / "a" / "model.pth.tar-10", cocoop_state(), legacy=legacy)
    new = {"ctx": torch.full((4, 16), 7.0), "meta_net.linear1.bias": torch.tensor([1.0, 2.0])}
    out = tmp_path / "repaired.pth.tar-10"

    rewrite_artifact(source, replacement(tmp_path, new), out)

    before, after = load(source), load(out)
    assert before.keys() == after.keys()
    for name, tensor in before["state_dict"].items():
        assert torch.equal(after["state_dict"][name], new.get(name, tensor)), name
    assert after["epoch"] == before["epoch"]
    assert str(after["optimizer"]) == str(before["optimizer"])
    assert after["scheduler"]["successor"].T_max == before["scheduler"]["successor"].T_max
    assert out.stat().st_size == source.stat().st_size
    reading = read_artifact(out, tmp_path / "out")
    assert (reading.findings, reading.family) == ((), "CoCoOp")
    if not legacy:
        with zipfile.ZipFile(out) as archive:
            assert archive.testzip() is None


def test_a_view_inside_a_shared_storage(tmp_path: Path) -> None:
    source = save_dassl(tmp_path / "model.pth.tar-1", coop_state())
    new = {"token_suffix": torch.randn(5, 72, 16)}
    out = tmp_path / "out.pth"
    rewrite_artifact(source, replacement(tmp_path, new), out)
    after = load(out)["state_dict"]
    assert torch.equal(after["token_suffix"], new["token_suffix"])
    assert torch.equal(after["token_prefix"], load(source)["state_dict"]["token_prefix"])


def test_a_transposed_tensor(tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    torch.save({"state_dict": {"w": torch.arange(12.0).reshape(3, 4).t()}}, source)
    new = {"w": torch.arange(12.0).reshape(4, 3) + 100}
    rewrite_artifact(source, replacement(tmp_path, new), tmp_path / "out.pth")
    assert torch.equal(load(tmp_path / "out.pth")["state_dict"]["w"], new["w"])


def test_safetensors(tmp_path: Path) -> None:
    source = tmp_path / "x.safetensors"
    state = {name: tensor.contiguous() for name, tensor in coop_state().items()}
    safetensors.torch.save_file(state, source, {"vendor": "v"})
    new = {"ctx": torch.ones(4, 16)}
    rewrite_artifact(source, replacement(tmp_path, new), tmp_path / "out.safetensors")
    after = safetensors.torch.load_file(tmp_path / "out.safetensors")
    assert torch.equal(after["ctx"], new["ctx"])
    assert torch.equal(after["token_suffix"], state["token_suffix"])


def test_the_checkpoint_of_a_folder(tmp_path: Path) -> None:
    save_dassl_folder(tmp_path / "run", coop_state())
    new = {"ctx": torch.ones(4, 16)}
    rewrite_artifact(tmp_path / "run", replacement(tmp_path, new), tmp_path / "out.pth")
    assert torch.equal(load(tmp_path / "out.pth")["state_dict"]["ctx"], new["ctx"])


@pytest.mark.parametrize(
    ("tensors", "finding"),
    [
        ({"ctx": torch.ones(5, 16)}, "shape-mismatch"),
        ({"ctx": torch.ones(4, 16, dtype=torch.float16)}, "unsupported-tensor"),
        ({"other": torch.ones(4, 16)}, "unsupported-tensor"),
    ],
)
def test_what_does_not_fit_is_refused(
    tensors: dict[str, Tensor], finding: str, genuine: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError) as caught:
        rewrite_artifact(genuine, replacement(tmp_path, tensors), tmp_path / "out.pth")
    assert caught.value.finding_id == finding
    assert sorted(path.name for path in tmp_path.iterdir()) == ["replacement.safetensors"]


def test_tensors_that_share_values_are_refused(tmp_path: Path) -> None:
    shared = torch.zeros(4, 16)
    source = save_dassl(tmp_path / "x.pth", {"ctx": shared, "twin": shared})
    with pytest.raises(ArtifactError, match="twin shares values"):
        rewrite_artifact(
            source, replacement(tmp_path, {"ctx": torch.ones(4, 16)}), tmp_path / "out.pth"
        )
    assert not (tmp_path / "out.pth").exists()


def test_a_file_that_runs_code_is_refused(genuine: Path, tmp_path: Path) -> None:
    planted = plant_pickle(genuine, tmp_path / "x.pth", call_opcodes("os", "system", "true"))
    with pytest.raises(ArtifactError) as caught:
        rewrite_artifact(
            planted, replacement(tmp_path, {"ctx": torch.ones(4, 16)}), tmp_path / "out.pth"
        )
    assert caught.value.finding_id == "pickle-code-execution"
    assert "os.system" in caught.value.detail
