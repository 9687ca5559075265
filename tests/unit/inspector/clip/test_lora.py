"""CLIP-LoRA: nested files, the blocks that settings name, and the change of their weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import Reading
from inspector.clip.assembly import Assembly, assemble
from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.manifest import Manifest

NAMES = ["traffic light", "tall ship", "owl"]
SETTINGS = {"r": 2, "alpha": 3, "encoder": "both", "params": ["q", "o"], "position": "all"}
Weights = dict[str, dict[str, dict[str, Tensor]]]


def weights(
    layers: int, width: int = 64, projections: tuple[str, ...] = ("q_proj", "proj")
) -> Weights:
    generator = torch.Generator().manual_seed(3)

    def pair() -> dict[str, Tensor]:
        down = torch.randn(2, width, generator=generator)
        return {"w_lora_A": down, "w_lora_B": torch.randn(width, 2, generator=generator)}

    return {f"layer_{i}": {name: pair() for name in projections} for i in range(layers)}


def read(folder: Path, content: Any) -> Reading:
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / "lora_weights.pt")
    return read_here(folder / "lora_weights.pt", folder, ReaderOptions())


def build(folder: Path, backbone: Backbone, own: Weights, **settings: object) -> Assembly:
    reading = read(folder, {"weights": own, "metadata": SETTINGS | settings})
    assert reading.family == "CLIP-LoRA", reading.findings
    assert reading.canonical
    manifest = Manifest.parse({"classnames": NAMES})
    return assemble(reading, folder / reading.canonical, manifest, backbone)


def test_weights_change_by_alpha_over_the_root_of_the_rank(tmp_path: Path, vit: Backbone) -> None:
    own = weights(4)
    encoders = build(tmp_path, vit, own).classifier.backbone
    model = encoders.model
    blocks = [*model.transformer.resblocks, *model.visual.transformer.resblocks]
    before = [*vit.model.transformer.resblocks, *vit.model.visual.transformer.resblocks]
    for index, (block, old) in enumerate(zip(blocks, before, strict=True)):
        pairs = own[f"layer_{index}"]
        for name, weight, original in (
            ("q_proj", block.attn.in_proj_weight[:64], old.attn.in_proj_weight[:64]),
            ("proj", block.attn.out_proj.weight, old.attn.out_proj.weight),
        ):
            change = pairs[name]["w_lora_B"] @ pairs[name]["w_lora_A"] * 3 / math.sqrt(2)
            assert torch.allclose(weight, original + change, atol=1e-5)
        assert torch.equal(block.attn.in_proj_weight[64:], old.attn.in_proj_weight[64:])
    assert encoders.logit_scale == 100.0


def test_settings_name_the_blocks(tmp_path: Path, vit: Backbone) -> None:
    model = build(tmp_path, vit, weights(2), encoder="vision").classifier.backbone.model
    for new, old in ((model.transformer, vit.model.transformer),):
        assert torch.equal(
            new.resblocks[0].attn.in_proj_weight, old.resblocks[0].attn.in_proj_weight
        )
    first, old = model.visual.transformer.resblocks[0], vit.model.visual.transformer.resblocks[0]
    assert not torch.equal(first.attn.in_proj_weight, old.attn.in_proj_weight)


@pytest.mark.parametrize(
    ("own", "settings", "error", "text"),
    [
        (weights(3), {}, BackboneMismatch, "changes 3 blocks, its settings name 4"),
        (weights(4, width=32), {}, BackboneMismatch, "width is 64"),
        (weights(4), {"position": "sideways"}, AssemblyError, "sideways"),
        (weights(4), {"encoder": None}, AssemblyError, "encoder None"),
        (weights(4), {"alpha": None}, AssemblyError, "alpha"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, vit: Backbone, own: Weights, settings: dict[str, object],
    error: type[AssemblyError], text: str,
) -> None:  # fmt: skip
    with pytest.raises(error, match=text):
        build(tmp_path, vit, own, **settings)


def test_the_settings_are_read_from_the_file(tmp_path: Path) -> None:
    reading = read(tmp_path, {"weights": weights(4), "metadata": SETTINGS})
    assert reading.options == {"rank": 2, "layers": 4, "projections": "q_proj proj"}
    assert {name: reading.metadata[name] for name in ("alpha", "encoder", "position")} == {
        "alpha": 3, "encoder": "both", "position": "all",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ({"weights": {"layer_0": torch.ones(2)}, "metadata": SETTINGS}, "unknown-family"),
        ({"weights": {"layer_0": {"q_proj": torch.ones(2)}}, "metadata": {}}, "unknown-family"),
        ({"weights": {}, "metadata": SETTINGS}, "unknown-family"),
        ({"weights": {k: v for k, v in weights(3).items() if k != "layer_1"}, "metadata": {}},
         "unknown-family"),
        ({"weights": weights(1) | {"layer_1": weights(1, 64, ("k_proj",))["layer_0"]},
          "metadata": {}}, "shape-mismatch"),
    ],
)  # fmt: skip
def test_files_that_only_look_alike(tmp_path: Path, content: object, finding: str) -> None:
    reading = read(tmp_path, content)
    assert [f.id for f in reading.findings] == [finding]
    assert reading.canonical is None
