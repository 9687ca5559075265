"""From weights in safetensors to a model of open_clip, by each layout that weights come in.

Every tensor of the file must have its place and every place its tensor; the values are kept as they
are, in fp32. Whatever goes wrong is raised as it comes: the caller knows what to say of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, build_model_from_openai_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspector.checkpoint import families
from inspector.clip.registry import CONFIG, WEIGHTS, Location, config_of
from inspector.manifest import Triple

OPENAI_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
_SIZES = ("input_resolution", "context_length", "vocab_size")
_MASK = "attn_mask"
_HUGGING_FACE = families.named("CLIPModel")
_HUGGING_FACE_TABLE = "text_model.embeddings.token_embedding.weight"
_TEXT_DEFAULTS = {
    "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5, "eos_token_id": 49407,
}  # fmt: skip
_VISION_DEFAULTS = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}  # fmt: skip
"""Of transformers' ``CLIPTextConfig`` and ``CLIPVisionConfig``; files leave out what is so."""
_END_TOKENS = (2, 49407)
"""Hugging Face wrote 2 and pooled at the largest id before it wrote the right
one; both are the same."""
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}


@dataclass(frozen=True, slots=True)
class Built:
    """A model, the tokeniser of its text tower, and how pixels in [0,1] are normalised."""

    model: Any
    tokenizer: Callable[..., Tensor]
    mean: Triple
    std: Triple


def build(location: Location, files: Sequence[Path]) -> Built:
    """The model that ``files`` hold, which are the weights of ``location`` in safetensors.

    Raises:
        BackboneError: its configuration cannot be read.
        Exception: of many kinds, from open_clip, safetensors and torch, on
            a file that does not fit.
    """
    return _BUILDERS[location.layout](location, files)


def _open_clip(location: Location, files: Sequence[Path]) -> Built:
    assert location.config is not None
    # A folder of its own, in which open_clip finds these weights and no others.
    with TemporaryDirectory(prefix="clipvet-backbone-") as folder:
        _without_masks(files[0], Path(folder, WEIGHTS))
        Path(folder, CONFIG).write_text(json.dumps(config_of(location)), "utf-8")
        model = open_clip.create_model(
            f"local-dir:{folder}", precision="fp32", pretrained_text=False
        )
        return _described(model, open_clip.get_tokenizer(f"local-dir:{folder}"))


def _hub(location: Location, files: Sequence[Path]) -> Built:
    name, _, tag = location.hub.partition("/")
    config = open_clip.get_pretrained_cfg(name, tag)
    with TemporaryDirectory(prefix="clipvet-backbone-") as folder:
        weights = Path(folder, WEIGHTS)
        _without_masks(files[0], weights)
        model = open_clip.create_model(
            name,
            pretrained=str(weights),
            precision="fp32",
            force_quick_gelu=bool(config.get("quick_gelu")),
            force_preprocess_cfg={key: config[key] for key in ("mean", "std") if config.get(key)},
            pretrained_text=False,
        )
    return _described(model, open_clip.get_tokenizer(name))


def _without_masks(file: Path, out: Path) -> None:
    """Put a file of tensors at ``out``, but for what only TorchScript keeps among them."""
    with safe_open(file, framework="pt") as stored:
        names = list(stored.keys())
        kept = [name for name in names if not _is_beside(name)]
        if kept == names:
            out.symlink_to(file.absolute())
        else:
            save_file({name: stored.get_tensor(name) for name in kept}, out)


def _is_beside(name: str) -> bool:
    """Whether a tensor is no weight: sizes that OpenAI's files repeat, the mask made anew."""
    return name in _SIZES or name.rpartition(".")[2] == _MASK


def _openai(location: Location, files: Sequence[Path]) -> Built:
    state = load_file(files[0])
    if _HUGGING_FACE_TABLE in state:
        raise ValueError("a CLIPModel of Hugging Face, which needs its config.json beside it")
    if "text.token_embedding.weight" in state:
        raise ValueError("a CustomTextCLIP of open_clip, which needs its open_clip_config.json")
    _check_has(state, "token_embedding.weight")
    kept = {name: tensor for name, tensor in state.items() if not _is_beside(name)}
    # The builder rounds to fp16; loading again into fp32 keeps files that are not fp16 exact.
    model = build_model_from_openai_state_dict(dict(kept), quick_gelu=True).float()
    model.load_state_dict(kept)
    return _described(model, open_clip.SimpleTokenizer(context_length=model.context_length))


def _hugging_face(location: Location, files: Sequence[Path]) -> Built:
    config = config_of(location)
    model = _empty(config)
    model.load_state_dict(_renamed(_joined(files)))
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    mean, std = _normalisation(location)
    return Built(model, tokenizer, mean, std)


def _joined(files: Sequence[Path]) -> dict[str, Tensor]:
    """The tensors of all shards. Raises ValueError where one stands in two."""
    state: dict[str, Tensor] = {}
    for file in files:
        shard = load_file(file)
        if twice := state.keys() & shard.keys():
            raise ValueError(f"{min(twice)} is in two shards")
        state |= shard
    return state


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CLIPModel's tensors by OpenAI's names.

    Raises ValueError for one that has no place there.
    """
    odd = sorted(name for name in state if not _HUGGING_FACE.knows(name))
    if odd:
        raise ValueError(f"{odd[0]} has no place in CLIP")
    _check_has(state, _HUGGING_FACE_TABLE)
    _HUGGING_FACE.options({name: tuple(tensor.shape) for name, tensor in state.items()})
    parts = _HUGGING_FACE.parts(state)
    return {
        name: several[0] if len(several) == 1 else torch.cat(several)
        for name, several in parts.weights.items()
    }


def _check_has(state: Mapping[str, Tensor], name: str) -> None:
    if name not in state:
        shown = ", ".join(sorted(state)[:5]) or "none"
        raise ValueError(f"it is no CLIP, which has {name}; its tensors begin with {shown}")


def _empty(config: Mapping[str, object]) -> Any:
    """The model that a CLIPModel's configuration describes, without weights.

    Raises:
        ValueError: it is another model's, or describes what open_clip's CLIP cannot do.
    """
    architectures = config.get("architectures") or ["CLIPModel"]
    if architectures != ["CLIPModel"] or config.get("model_type", "clip") != "clip":
        raise ValueError(f"config.json is of {architectures}, a {config.get('model_type')}")
    text, vision = (
        _tower(config, "text", _TEXT_DEFAULTS),
        _tower(config, "vision", _VISION_DEFAULTS),
    )
    activations = {str(text["hidden_act"]), str(vision["hidden_act"])}
    if len(activations) != 1 or not activations <= _ACTIVATIONS.keys():
        raise ValueError(f"hidden_act is {' and '.join(sorted(activations))}")
    if {float(text["layer_norm_eps"]), float(vision["layer_norm_eps"])} != {1e-5}:
        raise ValueError("layer_norm_eps is not 1e-5")
    if text["eos_token_id"] not in _END_TOKENS:
        raise ValueError(f"eos_token_id is {text['eos_token_id']}, CLIP's is 49407")
    return CLIP(
        int(cast(int, config.get("projection_dim", 512))),
        vision_cfg=CLIPVisionCfg(
            layers=int(vision["num_hidden_layers"]),
            width=int(vision["hidden_size"]),
            head_width=int(vision["hidden_size"]) // int(vision["num_attention_heads"]),
            mlp_ratio=_ratio(vision),
            patch_size=int(vision["patch_size"]),
            image_size=int(vision["image_size"]),
        ),
        text_cfg=CLIPTextCfg(
            context_length=int(text["max_position_embeddings"]),
            vocab_size=int(text["vocab_size"]),
            width=int(text["hidden_size"]),
            heads=int(text["num_attention_heads"]),
            layers=int(text["num_hidden_layers"]),
            mlp_ratio=_ratio(text),
        ),
        quick_gelu=_ACTIVATIONS[activations.pop()],
    ).eval()


def _tower(config: Mapping[str, object], side: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One tower's settings; those under the older name go before the newer, as in transformers."""
    older, newer = config.get(f"{side}_config_dict"), config.get(f"{side}_config")
    return dict(defaults) | dict(cast(Mapping[str, Any], (newer or {}) if older is None else older))


def _ratio(tower: Mapping[str, Any]) -> float:
    # open_clip cuts the product with the width off after the point.
    return (int(tower["intermediate_size"]) + 0.5) / int(tower["hidden_size"])


def _normalisation(location: Location) -> tuple[Triple, Triple]:
    """Of ``preprocessor_config.json``, where there is one, else OpenAI's."""
    assert location.config is not None
    path = location.config.with_name("preprocessor_config.json")
    given = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    mean, std = (given.get("image_mean") or OPENAI_MEAN, given.get("image_std") or OPENAI_STD)
    return _triple(mean), _triple(std)


def _triple(values: Sequence[float]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _described(model: Any, tokenizer: Callable[..., Tensor]) -> Built:
    visual = model.visual
    mean = getattr(visual, "image_mean", None) or OPENAI_MEAN
    std = getattr(visual, "image_std", None) or OPENAI_STD
    return Built(model, tokenizer, _triple(mean), _triple(std))


_BUILDERS: dict[str, Callable[[Location, Sequence[Path]], Built]] = {
    "open_clip": _open_clip,
    "hub": _hub,
    "openai": _openai,
    "hugging-face": _hugging_face,
}
