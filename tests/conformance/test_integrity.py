"""Each check of integrity fires on a tampered copy of a genuine file, and on no untampered one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inspector.checkpoint import read_artifact
from inspector.clip.assembly import assemble
from inspector.clip.backbone import load_backbone
from inspector.errors import AssemblyError
from inspector.findings import Finding
from inspector.manifest import Manifest
from tests.conformance.conftest import FOLDER, cases, manifest_of

Tensors = dict[str, Tensor]
CONV = "image_encoder.conv1.weight"
BLOCK = "text_encoder.transformer.resblocks.2.mlp.c_fc.weight"


def findings_of(case: str, folder: Path, out: Path) -> list[Finding]:
    """All that the reader and the assembly remark on `folder`."""
    data = manifest_of(case)
    reading = read_artifact(folder, out)
    if reading.canonical is None:
        return list(reading.findings)
    backbone = load_backbone(str(FOLDER / data["backbone_dir"] / "open_clip"))
    try:
        assembly = assemble(reading, out / reading.canonical, Manifest.parse(data), backbone)
    except AssemblyError as problem:
        return [*reading.findings, problem.finding]
    return [*reading.findings, *assembly.findings]


def tampered(case: str, change: Callable[[Tensors], None], out: Path) -> Path:
    """A copy of the case whose tensors went through `change`, saved as the original code does."""
    folder = out / "copy"
    shutil.copytree(FOLDER / case, folder)
    path = folder / manifest_of(case)["checkpoint"]
    content: Any = torch.load(path, map_location="cpu", weights_only=False)
    state = content if case.startswith(("clip-lora", "tip")) else content["state_dict"]
    change(state)
    torch.save(content, path)
    return folder


def times(name: str, factor: float) -> Callable[[Tensors], None]:
    def change(state: Tensors) -> None:
        state[name] = state[name] * factor

    return change


def cast(name: str, dtype: torch.dtype) -> Callable[[Tensors], None]:
    def change(state: Tensors) -> None:
        state[name] = state[name].to(dtype)

    return change


def put(name: str, tensor: Tensor) -> Callable[[Tensors], None]:
    def change(state: Tensors) -> None:
        state[name] = tensor

    return change


def at(name: str, place: tuple[int, ...], factor: float) -> Callable[[Tensors], None]:
    """One value or row of a tensor multiplied."""

    def change(state: Tensors) -> None:
        state[name] = state[name].detach().clone()
        state[name][place] *= factor

    return change


def next_value(name: str) -> Callable[[Tensors], None]:
    """The smallest change that the type allows, of one value."""

    def change(state: Tensors) -> None:
        flat = state[name].detach().clone().flatten()
        flat[0] = torch.nextafter(flat[0].float() * 2, flat[0].float() * 3) / 2
        state[name] = flat.view(state[name].shape)

    return change


def louder_lora(content: Any) -> None:
    for pairs in content["weights"]["layer_0"].values():
        pairs["w_lora_B"] *= 1e5


TAMPERED: list[tuple[str, str, Callable[[Any], None]]] = [
    ("token-suffix-altered", "coop-generic4-end", at("token_suffix", (2, 0), 1.01)),
    ("token-suffix-altered", "cocoop-ctxinit4", at("token_suffix", (0, 3, 5), 1.5)),
    ("token-suffix-altered", "coop-fp16-bestval", at("token_suffix", (1, 70), 2)),
    ("token-suffix-altered", "maple-d2", at("prompt_learner.token_suffix", (1, 2), 1.1)),
    ("token-suffix-altered", "promptsrc-t3v3", at("prompt_learner.token_suffix", (1, 2), 1.5)),
    ("token-suffix-altered", "plot-rn-N4", times("token_suffix", 1.25)),
    ("token-prefix-altered", "coop-ctxinit", at("token_prefix", (3,), 1.01)),
    ("token-prefix-altered", "ivlp-t2v3", at("prompt_learner.token_prefix", (0,), 2)),
    ("encoder-changed", "maple-d2", next_value(CONV)),
    ("encoder-changed", "maple-d3-fp16", at(BLOCK, (0, 0), 1.01)),
    ("encoder-changed", "ivlp-t2v3", at(BLOCK, (0,), 1.001)),
    ("encoder-changed", "vpt-deep3", at(CONV, (0, 0, 0, 0), 3)),
    ("encoder-changed", "coprompt-d2-fp16", times("image_encoder.ln_post.weight", 1.01)),
    ("encoder-changed", "promptsrc-t3v3", at(CONV, (0,), 1.02)),
    ("logit-scale-changed", "maple-d2", times("logit_scale", 1.01)),
    ("logit-scale-changed", "promptsrc-t3v3", times("logit_scale", 0.98)),
    ("unknown-key", "coop-ctxinit", put("prompt_bank", torch.ones(2, 3))),
    ("unknown-key", "maple-d2", put("image_encoder.router.weight", torch.ones(4))),
    ("unknown-key", "clip-adapter-pets", put("gate", torch.ones(1))),
    ("unusual-dtype", "coop-ctxinit", cast("ctx", torch.float64)),
    ("unusual-dtype", "kgcoop-ctxinit", cast("bias_vectors", torch.bfloat16)),
    ("unsupported-tensor", "coop-ctxinit", cast("ctx", torch.int32)),
    ("context-extreme", "coop-ctxinit", times("ctx", 1e4)),
    ("context-extreme", "maple-d2", times("prompt_learner.compound_prompts_text.0", 5e3)),
    ("context-outlier", "coop-generic4-end", at("ctx", (1,), 1e3)),
    ("meta-net-extreme", "cocoop-ctxinit4", times("meta_net.linear2.weight", 1e3)),
    ("meta-net-extreme", "badclip-ctxinit4", times("meta_net.linear1.weight", 1e2)),
    ("meta-net-extreme", "tcp-l3", times("meta_net.linear2.weight", 1e3)),
    ("low-rank-extreme", "clip-lora-all-qkv-r2", louder_lora),
    ("non-finite-tensor", "coop-ctxinit", at("ctx", (0, 0), float("nan"))),
]  # fmt: skip


@pytest.mark.parametrize(("finding", "case", "change"), TAMPERED)
def test_tampering_is_found(
    finding: str, case: str, change: Callable[[Any], None], tmp_path: Path
) -> None:
    folder = tampered(case, change, tmp_path)
    found = findings_of(case, folder, tmp_path / "out")
    assert finding in {f.id for f in found}
    numbers = " ".join(f.message for f in found if f.id == finding)
    assert any(character.isdigit() for character in numbers)


def test_labels_of_a_cache_that_were_mixed(tmp_path: Path) -> None:
    case = "tip-adapter-F-4shots"
    folder = tmp_path / "copy"
    shutil.copytree(FOLDER / case, folder)
    path = folder / "caches" / "oxford_pets" / "values_4shots.pt"
    values = torch.load(path, weights_only=True)
    values[3] = 0.5
    torch.save(values, path)
    found = findings_of(case, folder, tmp_path / "out")
    assert [f.id for f in found] == ["cache-labels-altered"]
    assert "1 of 28" in found[0].message


@pytest.mark.parametrize("case", cases() or ["none"])
def test_silent_on_what_nobody_touched(case: str, tmp_path: Path) -> None:
    # One case holds its last epoch beside the best one, and both are the same.
    found = {finding.id for finding in findings_of(case, FOLDER / case, tmp_path)}
    assert found <= {"identical-copy"}
