"""Checkpoints written by the original research code: every tensor as torch reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from inspector.checkpoint import read_artifact
from tests.unit.inspector.checkpoint.conftest import Read, conformance_folder, ids

SUPPORTED = {
    "badclip-ctxinit4": "CoCoOp",
    "cocoop-ctxinit4": "CoCoOp",
    "coop-csc8-end": "CoOp",
    "coop-ctxinit": "CoOp",
    "coop-fp16-bestval": "CoOp",
    "coop-generic16-end": "CoOp",
    "coop-generic4-end": "CoOp",
    "coop-generic4-front": "CoOp",
    "coop-generic4-middle": "CoOp",
    "coop-rn-generic4": "CoOp",
    "derived-coop-cuda-location": "CoOp",
    "kgcoop-ctxinit": "KgCoOp",
    "prograd-ctxinit16": "CoOp",
    "clip-adapter-pets": "CLIP-Adapter",
    "coprompt-d2-fp16": "CoPrompt",
    "ivlp-t2v3": "IVLP",
    "maple-d2": "MaPLe",
    "maple-d3-fp16": "MaPLe",
    "promptsrc-t3v3": "PromptSRC",
    "tcp-l3": "TCP",
    "vpt-deep3": "VPT",
    "vpt-shallow": "VPT",
    "plot-rn-N4": "PLOT",
}
EXPECTED_GLOBALS = {
    "builtins.dict",
    "collections.OrderedDict",
    "collections.defaultdict",
    "torch.FloatStorage",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torch.optim.sgd.SGD",
}


@pytest.mark.parametrize("case", sorted(SUPPORTED))
def test_tensors_equal_those_of_torch(case: str, tmp_path: Path) -> None:
    folder = conformance_folder() / case
    manifest = json.loads((folder / "manifest.json").read_text())

    reading = read_artifact(folder, tmp_path)

    assert {finding.id for finding in reading.findings} <= {"identical-copy"}
    assert reading.family == SUPPORTED[case]
    assert manifest["method"] in (reading.family, *reading.family_aliases)
    assert reading.container.member == manifest["checkpoint"]
    if "num_classes" in reading.options:
        assert reading.options["num_classes"] == len(manifest["classnames"])
        assert reading.options["context_length"] == 77
    trusted = torch.load(folder / manifest["checkpoint"], map_location="cpu", weights_only=False)
    assert reading.metadata["epoch"] == trusted["epoch"]
    assert reading.canonical
    tensors = safetensors.torch.load_file(tmp_path / reading.canonical)
    assert tensors.keys() == trusted["state_dict"].keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == trusted["state_dict"][name].dtype
        assert torch.equal(tensor, trusted["state_dict"][name]), name


def test_live_objects_are_listed_and_expected(read: Read) -> None:
    reading = read(conformance_folder() / "cocoop-ctxinit4")
    assert {use.name for use in reading.globals} >= EXPECTED_GLOBALS
    assert {use.severity for use in reading.globals} == {"expected"}


def test_the_trigger_folder_is_ignored_and_reported(read: Read) -> None:
    reading = read(conformance_folder() / "badclip-ctxinit4")
    assert "trigger/model.pth.tar-3" in reading.container.ignored
    assert "manifest.json" in reading.container.ignored


def test_the_device_tag_does_not_matter(tmp_path: Path) -> None:
    root = conformance_folder()
    cpu = read_artifact(root / "coop-generic4-end", tmp_path / "cpu")
    cuda = read_artifact(root / "derived-coop-cuda-location", tmp_path / "cuda")
    assert cpu.canonical_sha256 == cuda.canonical_sha256
    assert cpu.artifact.sha256 != cuda.artifact.sha256


def test_an_unknown_family_is_named_by_its_keys(read: Read) -> None:
    reading = read(conformance_folder() / "badclip-ctxinit4" / "trigger" / "model.pth.tar-3")
    assert ids(reading) == ["unknown-family"]
    assert reading.canonical is None
    assert reading.tensors[0].name in reading.findings[0].message
    assert "CoCoOp" in reading.findings[0].message


def test_files_that_belong_together_are_read_together(tmp_path: Path) -> None:
    folder = conformance_folder() / "tip-adapter-F-4shots"
    reading = read_artifact(folder, tmp_path)
    assert (reading.family, reading.findings) == ("Tip-Adapter", ())
    assert reading.container.member is not None
    names = [f"caches/oxford_pets/{part}_4shots.pt" for part in ("best_F", "keys", "values")]
    assert reading.container.member == ", ".join(names)
    assert reading.canonical
    tensors = safetensors.torch.load_file(tmp_path / reading.canonical)
    for name, part in zip(names, ("best_F", "keys", "values"), strict=True):
        assert torch.equal(tensors[part], torch.load(folder / name, weights_only=True))


def test_one_of_several_files_stands_for_all(tmp_path: Path) -> None:
    folder = conformance_folder() / "tip-adapter-F-4shots" / "caches" / "oxford_pets"
    reading = read_artifact(folder / "best_F_4shots.pt", tmp_path)
    assert (reading.family, reading.findings) == ("Tip-Adapter", ())
    assert reading.container.outer == "directory"


def test_a_statement_of_prompts_is_a_model_only_where_nothing_else_is(read: Read) -> None:
    reading = read(conformance_folder() / "zeroshot-single")
    assert (reading.family, reading.findings) == ("ZeroshotCLIP", ())
    assert reading.container.member == "manifest.json"
    assert read(conformance_folder() / "vpt-deep3").family == "VPT"
    alone = read(conformance_folder() / "vpt-deep3" / "manifest.json")
    assert ids(alone) == ["not-a-checkpoint"]


def test_plot_is_not_taken_for_class_specific_coop(read: Read) -> None:
    reading = read(conformance_folder() / "plot-rn-N4")
    assert reading.family == "PLOT"
    assert (reading.options["prompts_per_class"], reading.options["num_classes"]) == (5, 5)
