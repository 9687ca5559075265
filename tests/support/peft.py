"""PEFT's LoRA adapters for tests: what stands in the two files, and a model built of it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.checkpoint.families import recognise
from inspector.checkpoint.families.peft_config import STATEMENT
from inspector.checkpoint.reading import ArtifactInfo
from inspector.clip.assembly import Assembly, assemble
from inspector.clip.backbone import Backbone
from inspector.manifest import Manifest

State = dict[str, Tensor]

Q, V, FC1, OUT = (
    f"vision_model.encoder.layers.1.{module}"
    for module in ("self_attn.q_proj", "self_attn.v_proj", "mlp.fc1", "self_attn.out_proj")
)
PREFIX = "base_model.model."


def settings(**changes: object) -> dict[str, object]:
    """Settings as PEFT writes them, with changes."""
    return {
        "peft_type": "LORA", "auto_mapping": {"base_model_class": "CLIPModel"},
        "base_model_name_or_path": "openai/clip-vit-base-patch16", "bias": "none",
        "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True,
        "lora_alpha": 6, "lora_dropout": 0.1, "megatron_core": "megatron.core", "r": 2,
        "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None, "use_dora": False,
        "target_modules": ["q_proj", "v_proj", "fc1", "out_proj"], "use_rslora": False,
        "qalora_group_size": 16, "loftq_config": {}, "target_parameters": None, **changes,
    }  # fmt: skip


def statement(config: object) -> Tensor:
    """The settings as the reader hands them on."""
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)


def pair(
    module: str, out: int, into: int, rank: int = 2, seed: int = 1, prefix: str = PREFIX
) -> State:
    """A and B of a layer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{prefix}{module}.lora_A.weight": torch.randn(rank, into, generator=generator),
        f"{prefix}{module}.lora_B.weight": torch.randn(out, rank, generator=generator) * 0.1,
    }


def built(
    tensors: State, config: object, out: Path, backbone: Backbone, **manifest: object
) -> Assembly:
    """The classifier of an adapter on `backbone`, from its canonical tensors.

    Raises:
        ArtifactError, AssemblyError: why there is none.
    """
    whole = {**tensors, STATEMENT: statement(config)}
    found = recognise({name: tuple(tensor.shape) for name, tensor in whole.items()})
    reading = Reading(
        ArtifactInfo("adapter", None, 0, "safetensors"), family=found.family, options=found.options
    )
    path = out / "canonical.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in whole.items()}, path)
    return assemble(reading, path, Manifest.parse(manifest), backbone)


def in_folder(folder: Path) -> tuple[State, bytes]:
    """The tensors and the settings of a folder that PEFT wrote."""
    return load_file(folder / "adapter_model.safetensors"), (folder / STATEMENT).read_bytes()
