"""One backbone in every way in which people keep it on disk.

Each writer takes a model of open_clip's own CLIP class, whose tensors have OpenAI's names, and a new
folder; it gives back what `--backbone` is told.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.layouts import hugging_face

_SIZES = {"input_resolution": 16, "context_length": 77, "vocab_size": 49408}
Write = Callable[[Any, Path], Path]


def state_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}


def _safetensors(model: Any, folder: Path) -> Path:
    save_file(state_of(model), folder / "vit.safetensors")
    return folder / "vit.safetensors"


def _state_dict(model: Any, folder: Path) -> Path:
    """As it is saved after `clip.load`, with the numbers that OpenAI's archives hold."""
    sizes = {name: torch.tensor(number) for name, number in _SIZES.items()}
    torch.save({**state_of(model), **sizes}, folder / "vit.pt")
    return folder / "vit.pt"


def _training_log(model: Any, folder: Path) -> Path:
    state = {f"module.{name}": tensor for name, tensor in state_of(model).items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, folder / "epoch_3.pth")
    return folder / "epoch_3.pth"


def _scripted(model: Any, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(model.half()).save(str(folder / "ViT-B-16.pt"))
    return folder / "ViT-B-16.pt"


def _traced(model: Any, folder: Path) -> Path:
    """As OpenAI distributes its models; other than the others in fp32."""
    size = model.visual.image_size
    size = size[0] if isinstance(size, tuple) else size
    example = (torch.rand(1, 3, size, size), torch.zeros(1, 77, dtype=torch.int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model.float(), example, check_trace=False)
    traced.save(str(folder / "ViT-B-32.pt"))
    return folder / "ViT-B-32.pt"


def _hugging_face(model: Any, folder: Path) -> Path:
    save_file(_renamed(model), folder / "model.safetensors", {"format": "pt"})
    return _configured(model, folder)


def _hugging_face_bin(model: Any, folder: Path) -> Path:
    counters = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    torch.save(_renamed(model) | counters, folder / "pytorch_model.bin")
    return _configured(model, folder)


def _hugging_face_shards(model: Any, folder: Path) -> Path:
    return _sharded(model, folder, "model", "safetensors", save_file)


def _hugging_face_bin_shards(model: Any, folder: Path) -> Path:
    return _sharded(model, folder, "pytorch_model", "bin", torch.save)


def _sharded(model: Any, folder: Path, stem: str, suffix: str, save: Callable[..., None]) -> Path:
    state = _renamed(model)
    names = sorted(state)
    places = {
        name: f"{stem}-{1 + 3 * place // len(names):05d}-of-00003.{suffix}"
        for place, name in enumerate(names)
    }
    for shard in set(places.values()):
        save({name: state[name] for name in names if places[name] == shard}, folder / shard)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return _configured(model, folder)


def _renamed(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in hugging_face(state_of(model)).items()}


def _configured(model: Any, folder: Path) -> Path:
    """The configuration that transformers would write, what is so by default left out."""
    visual = model.visual
    blocks = visual.transformer.resblocks, model.transformer.resblocks
    widths = visual.conv1.out_channels, model.token_embedding.weight.shape[1]
    towers: list[dict[str, object]] = [
        {
            "hidden_size": width,
            "intermediate_size": tower[0].mlp.c_fc.out_features,
            "num_attention_heads": tower[0].attn.num_heads,
            "num_hidden_layers": len(tower),
            "hidden_act": "quick_gelu",
        }
        for tower, width in zip(blocks, widths, strict=True)
    ]
    size = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    places = {"image_size": size, "patch_size": visual.conv1.kernel_size[0]}
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": visual.proj.shape[1],
        "vision_config": towers[0] | places,
        "text_config": towers[1] | {"eos_token_id": 2},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


WRITERS: dict[str, Write] = {
    "safetensors": _safetensors,
    "state-dict": _state_dict,
    "training-log": _training_log,
    "torchscript-fp16": _scripted,
    "torchscript-traced": _traced,
    "hugging-face": _hugging_face,
    "hugging-face-bin": _hugging_face_bin,
    "hugging-face-shards": _hugging_face_shards,
    "hugging-face-bin-shards": _hugging_face_bin_shards,
}
OF_ANY_ENCODER = tuple(name for name in WRITERS if not name.startswith("hugging-face"))
"""Those that hold ResNets, too; Hugging Face's CLIPModel has none."""


def write_open_clip_bin(source: Path, folder: Path) -> Path:
    """The open_clip folder ``source`` with its weights as torch saves them."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_bytes((source / "open_clip_config.json").read_bytes())
    state = load_file(source / "open_clip_model.safetensors")
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    return folder
