"""LoRA adapters made by PEFT itself: its own logits against ours.

Steps in two environments, because the default one has no PEFT:

    ENV/bin/python -m tests.bench.peft_logits make FOLDER
    python -m tests.bench.peft_logits compare FOLDER

    ENV/bin/python -m tests.bench.peft_logits fixtures tests/unit/inspector/clip/data/peft

`make` and `fixtures` need peft, transformers, torch and open_clip. `fixtures` makes anew what the
default suite reads. `make` writes a random CLIP in OpenAI's layout, some
pictures, and for each setting the folder that `save_pretrained` writes; the logits beside it are those
of `PeftModel.from_pretrained` on that folder. `compare` runs `clipvet logits` on each folder and prints
the largest difference, and how far the adapter moves the logits of the backbone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.backbones import PREPROCESSING, write_backbone
from tests.support.layouts import State, hugging_face

NAMES = ["tench", "tall ship", "barn owl", "traffic light", "cup"]
TEMPLATE = "a photo of a {}."
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT, VISION, EMBED, DEPTH, PATCH, SIZE = 64, 128, 48, 2, 8, 32
LIMIT = 1e-4
_Q = "vision_model.encoder.layers.0.self_attn.q_proj"
SETTINGS: dict[str, dict[str, Any]] = {
    "qv": {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8},
    "all attention": {"target_modules": ["q_proj", "k_proj", "v_proj", "out_proj"], "r": 2},
    "mlp": {"target_modules": ["fc1", "fc2"], "r": 3, "lora_alpha": 5},
    "all-linear": {"target_modules": "all-linear", "lora_dropout": 0.3},
    "projections": {"target_modules": ["visual_projection", "text_projection"]},
    "patches": {"target_modules": ["patch_embedding"], "r": 4},
    "embeddings": {"target_modules": ["token_embedding", "position_embedding"], "r": 4},
    "rslora": {"target_modules": ["q_proj"], "r": 9, "lora_alpha": 3, "use_rslora": True},
    "dora": {"target_modules": ["q_proj", "out_proj", "fc1"], "use_dora": True, "r": 4},
    "dora everywhere": {
        "target_modules": [
            "k_proj", "visual_projection", "patch_embedding", "token_embedding", "position_embedding"
        ],
        "use_dora": True, "r": 2, "use_rslora": True,
    },
    "patterns": {
        "target_modules": ["q_proj", "k_proj", "fc1"], "r": 4, "lora_alpha": 4,
        "rank_pattern": {"k_proj": 2, f"^{_Q}": 7, r".*\.layers\.1\.mlp\.fc1": 3},
        "alpha_pattern": {"text_model.*q_proj": 1, "(k|q)_proj": 9, "fc1": 2.5},
    },
    "expression": {"target_modules": r"vision_model.*\.(q_proj|v_proj)", "r": 4},
    "negative expression": {"target_modules": r"(?!text_model).*layers\.[1-9]\..*_proj"},
    "excluded": {"target_modules": ["q_proj", "fc2"], "exclude_modules": r"text_model.*"},
    "layers": {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    "one layer": {"target_modules": ["q_proj"], "layers_to_transform": 0},
    "copies": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["visual_projection", "post_layernorm", "layer_norm1"],
    },
    "copied embeddings": {"target_modules": ["fc1"], "modules_to_save": ["embeddings"]},
    "copied tower": {"target_modules": ["fc1"], "modules_to_save": ["text_model"]},
    "own biases": {"target_modules": ["q_proj", "fc1"], "bias": "lora_only"},
    "all biases": {"target_modules": ["v_proj"], "bias": "all"},
    "low-rank bias": {"target_modules": ["v_proj", "fc2"], "lora_bias": True},
    "gaussian": {"target_modules": ["v_proj"], "init_lora_weights": "gaussian"},
    "random start": {"target_modules": ["v_proj"], "init_lora_weights": False},
    "fan in": {"target_modules": ["fc1", "q_proj"], "fan_in_fan_out": True},
    "half": {"target_modules": ["q_proj", "v_proj"], "r": 4},
    "torch file": {"target_modules": ["q_proj", "v_proj"], "r": 4},
    "vision tower": {"target_modules": ["q_proj", "visual_projection"], "r": 4},
    "text tower": {"target_modules": ["v_proj", "text_projection"], "r": 4},
}  # fmt: skip
FIXTURES: dict[str, dict[str, Any]] = {
    "patterns": {
        "target_modules": ["q_proj", "v_proj"], "r": 2, "lora_alpha": 3, "use_rslora": True,
        "rank_pattern": {"v_proj": 1}, "alpha_pattern": {r"text_model.*q_proj": 5},
    },
    "dora": {
        "target_modules": ["out_proj", "visual_projection", "patch_embedding", "position_embedding"],
        "use_dora": True, "r": 2,
    },
    "copies": {
        "target_modules": r"vision_model.*\.(k_proj|fc1)", "r": 1, "bias": "lora_only",
        "modules_to_save": ["text_projection", "post_layernorm"],
    },
}  # fmt: skip


def backbone_state(seed: int = 0) -> State:
    """A random CLIP by OpenAI's names, with weights large enough to react to what they are given."""
    generator = torch.Generator().manual_seed(seed)

    def new(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * (
            shape[-1] ** -0.5 if len(shape) > 1 else 0.1
        )

    def norm(name: str, width: int) -> State:
        return {f"{name}.weight": 1 + new(width), f"{name}.bias": new(width)}

    state: State = {
        "positional_embedding": new(77, TEXT), "text_projection": new(TEXT, EMBED),
        "token_embedding.weight": new(49408, TEXT), "logit_scale": torch.tensor(4.0),
        "visual.conv1.weight": new(VISION, 3, PATCH, PATCH), "visual.class_embedding": new(VISION),
        "visual.positional_embedding": new((SIZE // PATCH) ** 2 + 1, VISION),
        "visual.proj": new(VISION, EMBED),
        **norm("ln_final", TEXT), **norm("visual.ln_pre", VISION), **norm("visual.ln_post", VISION),
    }  # fmt: skip
    for tower, width in (("", TEXT), ("visual.", VISION)):
        for index in range(DEPTH):
            block = f"{tower}transformer.resblocks.{index}"
            state |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
            for name, out, into in (
                ("attn.in_proj_", 3 * width, width), ("attn.out_proj.", width, width),
                ("mlp.c_fc.", 4 * width, width), ("mlp.c_proj.", width, 4 * width),
            ):  # fmt: skip
                state |= {
                    f"{block}.{name}weight": new(out, into) * 2,
                    f"{block}.{name}bias": new(out),
                }
    return state


def make(folder: Path) -> None:
    """Adapters, pictures, and PEFT's own logits."""
    folder.mkdir(parents=True, exist_ok=True)
    state = backbone_state()
    weights = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(weights, folder / "backbone.safetensors")
    pixels = torch.rand(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    save_file({"pixels": pixels}, folder / "images.safetensors")
    manifest = {"classnames": NAMES, "template": TEMPLATE}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    plain = _logits(_clip(state), pixels, (MEAN, STD))
    for index, (name, settings) in enumerate(SETTINGS.items()):
        logits = _adapted(state, pixels, (MEAN, STD), folder / name, settings, index)
        if logits is not None:
            save_file({"logits": logits, "plain": plain}, folder / f"{name}.safetensors")
    print(f"{len(SETTINGS)} adapters by {_versions()} in {folder}")


def make_fixtures(folder: Path) -> None:
    """The few adapters of the default suite, on its own tiny backbone."""
    with TemporaryDirectory() as scratch:
        state = load_file(write_backbone(Path(scratch)) / "open_clip_model.safetensors")
    described = [tuple(PREPROCESSING[key]) for key in ("mean", "std")]
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    full = {name: tensor.float() for name, tensor in state.items()}
    for index, (name, settings) in enumerate(FIXTURES.items()):
        own = folder / name
        logits = _adapted(full, pixels, described, own, settings, index)
        assert logits is not None
        (own / "README.md").unlink()
        save_file(
            {"pixels": pixels, "logits": logits},
            own / "expected.safetensors",
            {"made": _versions()},
        )


def _versions() -> str:
    import peft
    import transformers

    return f"peft {peft.__version__}, transformers {transformers.__version__}"


def _adapted(
    state: State, pixels: Tensor, described: Any, folder: Path, settings: dict[str, Any], seed: int
) -> Tensor | None:
    """Save an adapter to `folder`, load it again as a customer would, and give its logits."""
    _save(_clip(state), folder, settings, seed)
    loaded = _clip(state)
    _load(loaded, folder)
    try:
        return _logits(loaded, pixels, described)
    except TypeError as problem:
        print(f"{folder.name}: this PEFT cannot run it: {problem}")
        return None


def _clip(state: State) -> Any:
    from transformers import CLIPConfig, CLIPModel

    width, embed = state["text_projection"].shape
    visual, _, patch, _ = state["visual.conv1.weight"].shape
    side = round((len(state["visual.positional_embedding"]) - 1) ** 0.5) * patch
    common = {"num_hidden_layers": DEPTH, "hidden_act": "quick_gelu", "projection_dim": embed}
    config = CLIPConfig(
        text_config={
            "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64,
            "vocab_size": 49408, "eos_token_id": 49407, "bos_token_id": 49406, **common,
        },
        vision_config={
            "hidden_size": visual, "intermediate_size": 4 * visual, "image_size": side,
            "num_attention_heads": visual // 64, "patch_size": patch, **common,
        },
        projection_dim=embed,
    )  # fmt: skip
    model = CLIPModel(config)
    model.load_state_dict(hugging_face(state))
    return model.eval()


def _tower(model: Any, name: str) -> Any:
    """The model that the adapter is made for: the whole of it, or one tower with its projection."""
    import transformers

    if name not in ("vision tower", "text tower"):
        return model
    side = name.removesuffix(" tower")
    own = getattr(transformers, f"CLIP{side.title()}ModelWithProjection")(
        getattr(model.config, f"{side}_config")
    )
    own.load_state_dict({n: t for n, t in model.state_dict().items() if n in own.state_dict()})
    return own.eval()


def _save(model: Any, folder: Path, settings: dict[str, Any], seed: int) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(_tower(model, folder.name), LoraConfig(**settings))
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in adapted.named_parameters():
        if not parameter.requires_grad:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if "lora_A" in key or "lora_embedding_B" in key:
            parameter.data = noise * parameter.shape[-1] ** -0.5
        elif "lora_B" in key or "lora_embedding_A" in key:
            parameter.data = noise * 0.3
        else:
            # Copies, biases and magnitudes move a little from where they are.
            parameter.data += noise * 0.2 * parameter.data.std().nan_to_num(1)
    if folder.name == "half":
        adapted.half()
    adapted.save_pretrained(str(folder), safe_serialization=folder.name != "torch file")


def _load(model: Any, folder: Path) -> None:
    """Put the adapter of the folder into `model`, as a customer would."""
    from peft import PeftModel

    own = _tower(model, folder.name)
    PeftModel.from_pretrained(own, str(folder)).eval()
    if own is not model:
        for part in ("vision_model", "visual_projection", "text_model", "text_projection"):
            if hasattr(own, part):
                setattr(model, part, getattr(own, part))


def _logits(model: Any, pixels: Tensor, described: Any) -> Tensor:
    import open_clip

    prompts = [TEMPLATE.replace("{}", name) for name in NAMES]
    tokens = open_clip.SimpleTokenizer()(prompts)
    mean, std = (torch.tensor(values)[:, None, None] for values in described)
    with torch.no_grad():
        output = model(input_ids=tokens, pixel_values=(pixels - mean) / std)
    return output.logits_per_image.contiguous()  # type: ignore[no-any-return]


def compare(folder: Path) -> int:
    """Print the largest difference of each adapter; 1 where one is over the limit."""
    worst = 0.0
    for name in filter(lambda name: (folder / f"{name}.safetensors").exists(), SETTINGS):
        out = folder / "ours.safetensors"
        command = [
            *(sys.executable, "-m", "app", "logits", folder / name, "--out", out),
            *("--backbone", folder / "backbone.safetensors"),
            *("--manifest", folder / "manifest.json", "--images", folder / "images.safetensors"),
        ]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:22} exit {done.returncode}: {done.stderr.strip()[-300:]}")
            worst = float("inf")
            continue
        wanted = load_file(folder / f"{name}.safetensors")
        off = float((load_file(out)["logits"] - wanted["logits"]).abs().max())
        moved = float((wanted["plain"] - wanted["logits"]).abs().max())
        print(f"{name:22} {off:.2e}, moved by {moved:.2f}")
        worst = max(worst, off)
    print(f"largest difference {worst:.2e}, limit {LIMIT:.0e}")
    return int(worst > LIMIT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["make", "fixtures", "compare"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.step == "make":
        make(options.folder)
        return 0
    if options.step == "fixtures":
        make_fixtures(options.folder)
        return 0
    return compare(options.folder)


if __name__ == "__main__":
    sys.exit(main())
