"""Every way to name a backbone, and ways to name none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.clip import registry
from inspector.clip.backbone import OPENAI_MEAN, Backbone, file_sha256, load_backbone
from inspector.clip.registry import locate
from inspector.errors import BackboneError
from tests.support.backbones import write_backbone


def features(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = backbone.model.encode_image(images)
        return raw, backbone.zero_shot(["cat", "stop_sign"])


def test_a_folder(vit: Backbone, vit_folder: Path) -> None:
    assert vit.id == str(vit_folder)
    assert vit.sha256 == file_sha256(vit_folder / registry.WEIGHTS)
    assert (vit.image_size, vit.mean, vit.embed_dim) == (16, (0.5, 0.4, 0.3), 48)
    assert vit.model.logit_scale.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in vit.model.parameters())


def test_zero_shot_is_the_models_own(vit: Backbone) -> None:
    tokens = vit.tokenizer(["a photo of a cat.", "a photo of a stop sign."])
    with torch.no_grad():
        own = vit.model.encode_text(tokens, normalize=True)
    assert (features(vit)[1] - own).abs().max() <= 1e-6


def test_openai_layout_keeps_all_bits(vit: Backbone, vit_folder: Path, tmp_path: Path) -> None:
    state = load_file(vit_folder / registry.WEIGHTS)
    metadata = {"context_length": torch.tensor(77), "vocab_size": torch.tensor(49408)}
    noisy = {name: tensor.float() * (1 + 2**-14) for name, tensor in state.items()}
    save_file(state | metadata, tmp_path / "half.safetensors")
    save_file(noisy, tmp_path / "full.safetensors")
    same = load_backbone(str(tmp_path / "half.safetensors"))
    assert same.mean == OPENAI_MEAN
    for ours, theirs in zip(features(same), features(vit), strict=True):
        assert torch.equal(ours, theirs)
    full = load_backbone(str(tmp_path / "full.safetensors"))
    assert torch.equal(full.text.token_embedding, noisy["token_embedding.weight"])


def test_a_hub_tag(
    vit: Backbone, vit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = json.loads((vit_folder / registry.CONFIG).read_text())["model_cfg"]
    described["quick_gelu"] = False
    (tmp_path / "Tiny-T.json").write_text(json.dumps(described))
    open_clip.add_model_config(tmp_path / "Tiny-T.json")
    tag = {"quick_gelu": True, "mean": (0.5, 0.4, 0.3), "std": (0.25, 0.3, 0.2)}
    weights = str(vit_folder / registry.WEIGHTS)
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: ["tag"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, wanted: tag)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config, **options: weights)
    hub = load_backbone(f"Tiny-T/tag@sha256:{vit.sha256.upper()}")
    assert (hub.id, hub.sha256, hub.mean, hub.std) == ("Tiny-T/tag", vit.sha256, vit.mean, vit.std)
    for ours, theirs in zip(features(hub), features(vit), strict=True):
        assert torch.equal(ours, theirs)


def test_a_pin_is_kept(vit: Backbone, vit_folder: Path) -> None:
    assert load_backbone(f"{vit_folder}@sha256:{vit.sha256}").id == str(vit_folder)
    with pytest.raises(BackboneError, match="demanded was abc"):
        load_backbone(f"{vit_folder}@sha256:abc")


def test_nothing_by_that_name(tmp_path: Path, vit_folder: Path) -> None:
    with pytest.raises(BackboneError, match="built in: pocket"):
        load_backbone("no-such/thing")
    with pytest.raises(BackboneError, match="a folder needs"):
        load_backbone(str(tmp_path))
    torn = tmp_path / "torn"
    shutil.copytree(vit_folder, torn)
    (torn / registry.WEIGHTS).write_bytes(b"torn")
    with pytest.raises(BackboneError, match="cannot build it"):
        load_backbone(str(torn))
    with pytest.raises(BackboneError, match="not an OpenAI-layout"):
        load_backbone(str(torn / registry.WEIGHTS))


def test_a_text_tower_of_another_kind(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "b")
    config = json.loads((folder / registry.CONFIG).read_text())
    config["model_cfg"]["text_cfg"]["pool_type"] = "last"
    (folder / registry.CONFIG).write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="does not read the end-of-text token"):
        load_backbone(str(folder))


def test_locate_takes_names_apart(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.touch()
    assert locate(f"{file}@sha256:AB").weights == file
    assert locate(f"{file}@sha256:AB").pin == "ab"
    assert locate(str(tmp_path)).weights == tmp_path / registry.WEIGHTS
    assert locate("ViT-B-16/openai").weights is None
