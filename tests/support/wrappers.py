"""Ways in which training tools save the very same weights: what an honest vendor may deliver.

Each makes a file or a folder from the content of a checkpoint; the tensors in it are those of the
original, but for ``bf16``. Sources: torch.compile (``_orig_mod.``), DistributedDataParallel
(``module.``), Lightning (``checkpoint_connector.py``), timm (``state_dict_ema``),
``torch.optim.swa_utils.AveragedModel``, transformers' ``Trainer`` (what lies beside a model).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.serialization
from torch import Tensor

State = dict[str, Tensor]
Wrapper = Callable[[dict[str, Any], Path], Path]
"""From the content of a checkpoint to what was written below the folder."""


def state_of(content: Mapping[str, Any]) -> State:
    """The tensors of a checkpoint by name; CLIP-LoRA's nested ones joined by full stops."""
    if set(content) == {"weights", "metadata"}:
        return {
            f"{layer}.{projection}.{matrix}": tensor
            for layer, projections in content["weights"].items()
            for projection, matrices in projections.items()
            for matrix, tensor in matrices.items()
        }
    found = content.get("state_dict", content)
    return {name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}


def _beside(content: Mapping[str, Any]) -> dict[str, Any]:
    """What the original says beside the tensors, as far as a tool would keep it."""
    settings = content.get("metadata", {}) if "weights" in content else {}
    return {"epoch": content.get("epoch", 3), **settings}


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _file(make: Callable[[State, dict[str, Any]], object], name: str = "model.pth") -> Wrapper:
    def write(content: dict[str, Any], folder: Path) -> Path:
        path = folder / name
        path.write_bytes(_saved(make(state_of(content), _beside(content))))
        return path

    return write


def _prefixed(prefix: str) -> Wrapper:
    return _file(
        lambda state, more: {"state_dict": {prefix + k: v for k, v in state.items()}, **more}
    )


def _under(key: str) -> Wrapper:
    return _file(
        lambda state, more: {key: state, "optimizer": {"state": {}, "param_groups": []}, **more}
    )


def _lightning(state: State, more: dict[str, Any]) -> object:
    return {
        "global_step": 1000, "pytorch-lightning_version": "2.5.1",
        "state_dict": {f"model.{k}": v for k, v in state.items()},
        "loops": {"fit_loop": {"state_dict": {}}}, "lr_schedulers": [],
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}},
                              "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "hyper_parameters": {"lr": 0.002}, **more,
    }  # fmt: skip


def _averaged(state: State, more: dict[str, Any]) -> object:
    averaged = {f"module.{k}": v for k, v in state.items()}
    return {"state_dict": {"n_averaged": torch.tensor(7), **averaged}, **more}


def _bfloat16(state: State, more: dict[str, Any]) -> object:
    rounded = {k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}
    return {"state_dict": rounded, **more}


def _without_checksums(content: dict[str, Any], folder: Path) -> Path:
    torch.serialization.set_crc32_options(False)
    try:
        return _file(lambda state, more: {"state_dict": state, **more})(content, folder)
    finally:
        torch.serialization.set_crc32_options(True)


def _safetensors(content: dict[str, Any], folder: Path) -> Path:
    path = folder / "model.safetensors"
    state = {k: v.contiguous().clone() for k, v in state_of(content).items()}
    said = {key: str(value) for key, value in _beside(content).items()}
    safetensors.torch.save_file(state, path, said)
    return path


def _compressed(suffix: str, compress: Callable[[bytes], bytes]) -> Wrapper:
    def write(content: dict[str, Any], folder: Path) -> Path:
        path = folder / f"model.pth{suffix}"
        path.write_bytes(compress(_saved(content)))
        return path

    return write


def _folder(content: dict[str, Any], folder: Path) -> Path:
    """A folder as transformers' Trainer and accelerate leave it."""
    run = folder / "checkpoint-500"
    run.mkdir()
    (run / "pytorch_model.bin").write_bytes(_saved(content))
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "scaler.pt"):
        (run / name).write_bytes(_saved({"state": {}, "last_epoch": 3}))
    for name in ("trainer_state.json", "config.json"):
        (run / name).write_text("{}")
    return run


WRAPPERS: dict[str, Wrapper] = {
    "_orig_mod.": _prefixed("_orig_mod."),
    "module._orig_mod.": _prefixed("module._orig_mod."),
    "_orig_mod.module.": _prefixed("_orig_mod.module."),
    "model.": _prefixed("model."),
    "prompt_learner.": _prefixed("prompt_learner."),
    "Lightning": _file(_lightning, "last.ckpt"),
    "model_state_dict": _under("model_state_dict"),
    "model": _under("model"),
    "net": _under("net"),
    "EMA": _file(lambda s, more: {"state_dict": s, "state_dict_ema": {k: v.clone() for k, v in s.items()}, **more}),
    "AveragedModel": _file(_averaged),
    "bf16": _file(_bfloat16),
    "checksums off": _without_checksums,
    "safetensors": _safetensors,
    ".gz": _compressed(".gz", lambda data: gzip.compress(data, 1)),
    ".xz": _compressed(".xz", lambda data: lzma.compress(data, preset=0)),
    ".bz2": _compressed(".bz2", lambda data: bz2.compress(data, 1)),
    "folder": _folder,
}  # fmt: skip
