"""Every way to name a backbone, and ways to name none."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.clip import registry
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.building import OPENAI_MEAN
from inspector.clip.naming import token_embedding
from inspector.clip.registry import locate
from inspector.errors import BackboneError
from tests.support.backbone_files import WRITERS, write_open_clip_bin
from tests.support.backbones import write_backbone
from tests.support.checkpoints import call_opcodes, plant_pickle


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def features(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = backbone.model.encode_image(images)
        return raw, backbone.zero_shot(["cat", "stop_sign"])


def test_a_folder(vit: Backbone, vit_folder: Path) -> None:
    assert vit.id == str(vit_folder)
    assert vit.sha256 == sha256_of(vit_folder / registry.WEIGHTS)
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


@pytest.mark.parametrize("kind", WRITERS)
def test_every_layout_is_the_same_model(kind: str, vit: Backbone, tmp_path: Path) -> None:
    path = WRITERS[kind](copy.deepcopy(vit.model).half(), tmp_path)
    same = load_backbone(str(path))
    # Only open_clip's folder says how pixels are normalised; features() does not do it.
    assert (same.id, same.mean) == (str(path), OPENAI_MEAN)
    for ours, theirs in zip(features(same), features(vit), strict=True):
        assert (ours - theirs).abs().max() <= 1e-6
    assert same.text.token_embedding.dtype == torch.float32
    table = token_embedding(str(path))
    assert torch.equal(torch.from_numpy(table).float(), vit.text.token_embedding)
    weights = [*tmp_path.glob("*.safetensors"), *tmp_path.glob("*.p*t*"), *tmp_path.glob("*.bin")]
    hashes = [f"{sha256_of(one)}  {one.name}\n" for one in sorted(weights)]
    whole = hashlib.sha256("".join(hashes).encode()).hexdigest()
    assert same.sha256 == (whole if len(weights) > 1 else sha256_of(weights[0]))
    assert load_backbone(f"{path}@sha256:{same.sha256}").sha256 == same.sha256
    with pytest.raises(BackboneError, match="demanded was 00"):
        load_backbone(f"{path}@sha256:00")


def test_an_open_clip_folder_with_weights_as_torch_saves_them(
    vit: Backbone, vit_folder: Path, tmp_path: Path
) -> None:
    folder = write_open_clip_bin(vit_folder, tmp_path / "b")
    for path in (folder, folder / "open_clip_pytorch_model.bin"):
        same = load_backbone(str(path))
        assert (same.mean, same.std) == (vit.mean, vit.std)
        assert same.sha256 == sha256_of(folder / "open_clip_pytorch_model.bin")
        for ours, theirs in zip(features(same), features(vit), strict=True):
            assert torch.equal(ours, theirs)


def test_a_weight_file_is_read_with_the_configuration_beside_it(tmp_path: Path) -> None:
    """Without it the activation would be taken for OpenAI's, and every logit be wrong in silence."""
    folder = write_backbone(tmp_path / "b")
    config = json.loads((folder / registry.CONFIG).read_text())
    config["model_cfg"]["quick_gelu"] = False
    (folder / registry.CONFIG).write_text(json.dumps(config))
    of_folder, of_file = load_backbone(str(folder)), load_backbone(str(folder / registry.WEIGHTS))
    assert torch.equal(features(of_folder)[0], features(of_file)[0])
    shutil.move(folder / registry.WEIGHTS, tmp_path / "alone.safetensors")
    alone = load_backbone(str(tmp_path / "alone.safetensors"))
    assert not torch.equal(features(alone)[0], features(of_file)[0])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"architectures": ["CLIPVisionModel"]}, "CLIPVisionModel"),
        ({"model_type": "siglip"}, "siglip"),
        ({"text_config": {"hidden_act": "gelu"}}, "gelu and quick_gelu"),
        ({"text_config": {"hidden_act": "relu"}}, "hidden_act"),
        ({"text_config": {"layer_norm_eps": 1e-12}}, "layer_norm_eps"),
        ({"text_config": {"eos_token_id": 7}}, "eos_token_id"),
        ({"text_config": {"num_hidden_layers": 3}}, "no model can be built"),
        ({"projection_dim": "wide"}, "no model can be built"),
    ],
)
def test_a_configuration_that_we_cannot_follow(
    change: dict[str, object], why: str, vit: Backbone, tmp_path: Path
) -> None:
    folder = WRITERS["hugging-face"](vit.model, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=why):
        load_backbone(str(folder))


def test_heads_activation_and_normalisation_are_the_configurations(
    vit: Backbone, tmp_path: Path
) -> None:
    folder = WRITERS["hugging-face"](vit.model, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for tower in ("text_config", "vision_config"):
        config[tower] |= {"num_attention_heads": 4, "hidden_act": "gelu"}
    (folder / "config.json").write_text(json.dumps(config))
    picture = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(picture))
    other = load_backbone(str(folder))
    assert (other.mean, other.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert other.model.visual.transformer.resblocks[0].attn.num_heads == 4
    assert isinstance(other.model.transformer.resblocks[0].mlp.gelu, torch.nn.GELU)


def test_files_that_are_no_whole_model(vit: Backbone, tmp_path: Path) -> None:
    folder = WRITERS["hugging-face-shards"](vit.model, tmp_path)
    index = folder / "model.safetensors.index.json"
    kept = index.read_text()
    for wrong in ("{", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../b.safetensors"}}'):
        index.write_text(wrong)
        with pytest.raises(BackboneError, match="index.json cannot be read"):
            load_backbone(str(folder))
    index.write_text(kept)
    first, second, _ = sorted(folder.glob("*.safetensors"))
    save_file(load_file(first) | load_file(second), second)
    with pytest.raises(BackboneError, match="two shards"):
        load_backbone(str(folder))
    first.unlink()
    with pytest.raises(BackboneError, match="1 of its 3 shards are missing"):
        load_backbone(str(folder))
    alone = tmp_path / "alone.safetensors"
    save_file(load_file(second), alone)
    with pytest.raises(BackboneError, match="needs its config.json"):
        load_backbone(str(alone))


def test_a_model_that_is_no_clip(vit: Backbone, tmp_path: Path) -> None:
    folder = WRITERS["hugging-face"](vit.model, tmp_path)
    save_file({"logit_scale": torch.tensor(4.6)}, folder / "model.safetensors")
    torch.save({"ctx": torch.ones(4, 8)}, folder / "prompt.pt")
    for path, begins in ((folder, "logit_scale"), (folder / "prompt.pt", "ctx")):
        with pytest.raises(BackboneError, match=f"it is no CLIP.*begin with {begins}"):
            load_backbone(str(path))


def test_a_backbone_that_would_run_code_is_refused(vit: Backbone, tmp_path: Path) -> None:
    path = WRITERS["state-dict"](vit.model, tmp_path)
    planted = plant_pickle(path, tmp_path / "planted.pt", call_opcodes("os", "system", "true"))
    with pytest.raises(BackboneError, match="os.system"):
        load_backbone(str(planted))
    with pytest.raises(BackboneError, match="os.system"):
        token_embedding(str(planted))


@pytest.fixture
def tiny_name(vit_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name of open_clip's under which the tiny model hides."""
    described = json.loads((vit_folder / registry.CONFIG).read_text())["model_cfg"]
    described["quick_gelu"] = False
    tag = {"quick_gelu": True, "mean": (0.5, 0.4, 0.3), "std": (0.25, 0.3, 0.2)}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "RN50x64", described)
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, wanted: tag)
    return "RN50x64"


@pytest.mark.parametrize("weights", ["safetensors", "torchscript-fp16"])
def test_a_hub_tag(
    weights: str, vit: Backbone, tiny_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = WRITERS[weights](copy.deepcopy(vit.model).half(), tmp_path)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config, **options: str(file))
    sha256 = sha256_of(file)
    hub = load_backbone(f"{tiny_name.lower()}@sha256:{sha256.upper()}")
    assert (hub.id, hub.sha256, hub.mean, hub.std) == ("RN50x64/openai", sha256, vit.mean, vit.std)
    for ours, theirs in zip(features(hub), features(vit), strict=True):
        assert torch.equal(ours, theirs)


def test_a_repository_of_the_hub(
    vit: Backbone, vit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = WRITERS["hugging-face"](vit.model, tmp_path)
    places = {"org/ours": vit_folder, "org/theirs": other}

    def download(repository: str, name: str | None) -> str:
        path = places[repository] / (name or registry.WEIGHTS)
        if not path.exists():
            raise FileNotFoundError(name)
        return str(path)

    monkeypatch.setattr("inspector.clip.backbone.download_pretrained_from_hf", download)
    for repository in places:
        hub = load_backbone(f"hf-hub:{repository}")
        assert hub.id == f"hf-hub:{repository}"
        assert torch.equal(features(hub)[0], features(vit)[0])
    with pytest.raises(BackboneError, match="could not be fetched"):
        load_backbone("hf-hub:org/nothing")


def test_a_pin_is_kept(vit: Backbone, vit_folder: Path) -> None:
    assert load_backbone(f"{vit_folder}@sha256:{vit.sha256}").id == str(vit_folder)
    with pytest.raises(BackboneError, match="demanded was abc"):
        load_backbone(f"{vit_folder}@sha256:abc")


def test_nothing_by_that_name(tmp_path: Path, vit_folder: Path) -> None:
    with pytest.raises(BackboneError, match="no backbone is called 'no-such/thing'.*pocket"):
        load_backbone("no-such/thing")
    with pytest.raises(BackboneError, match="did you mean pocket?"):
        load_backbone("poket")
    for odd in ("a" * 5000, "~nobody-of-that-name/x", "a\0b", ""):
        with pytest.raises(BackboneError):
            load_backbone(odd)
    with pytest.raises(BackboneError, match="a folder needs"):
        load_backbone(str(tmp_path))
    torn = tmp_path / "torn"
    shutil.copytree(vit_folder, torn)
    (torn / registry.WEIGHTS).write_bytes(b"torn")
    with pytest.raises(BackboneError, match="are refused"):
        load_backbone(str(torn))
    with pytest.raises(BackboneError, match="are refused"):
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
    assert locate(f"{file}@sha256:AB").weights == (file,)
    assert locate(f"{file}@sha256:AB").pins == ("ab",)
    assert locate("ours@sha256:AB", f"{file}@sha256:CD").pins == ("ab", "cd")
    assert locate("ViT-B-16/openai").weights == ()
    assert locate("ViT-B/16@sha256:AB").name == "ViT-B-16/openai"


def test_which_files_of_a_folder_are_taken(tmp_path: Path) -> None:
    def weights(*names: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name in names:
            (folder / name).write_text("{}")
        return [path.name for path in locate(str(folder)).weights]

    config, other = registry.CONFIG, "config.json"
    assert weights(config, "open_clip_pytorch_model.bin", registry.WEIGHTS) == [registry.WEIGHTS]
    assert weights(config, "epoch_30.pt", "log.txt") == ["epoch_30.pt"]
    assert weights(other, "pytorch_model.bin", "model.safetensors") == ["model.safetensors"]
    # As the authors of open_clip publish both kinds in one repository.
    assert weights(config, other, "model.safetensors", registry.WEIGHTS) == [registry.WEIGHTS]
    assert weights(config, other, "model.safetensors") == ["model.safetensors"]
    for lacking in ((config,), (other,), (config, "a.pt", "b.pt"), ("a.pt",)):
        with pytest.raises(BackboneError, match="a folder needs"):
            weights(*lacking)


def test_a_caller_learns_nothing_of_a_cache_that_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise PermissionError(13, "no right to", "/home/service/.cache/clip")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(BackboneError, match="/home/service"):
        load_backbone("ViT-B/16")
    for at in ("ViT-B-16/openai", "/srv/acme/clip", "~nobody-of-that-name/acme"):
        with pytest.raises(BackboneError) as caught:
            load_backbone("ViT-B-16/openai", at=at)
        assert "/home" not in str(caught.value) and "acme" not in str(caught.value)
        assert "log says more" in str(caught.value)
    assert "/home/service" in caplog.text and "acme" in caplog.text
    with pytest.raises(BackboneError, match="did you mean pocket?"):
        load_backbone("poket", at="poket")
