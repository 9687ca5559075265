"""The loaders that customers use, and what each gets out of a file or folder.

They run what the file says: outside of :mod:`~tests.witness.cell` nothing here may see a file that was
not just made by this process. Whole folders are opened by the rules of timm and open_clip themselves;
transformers, Dassl and Lightning are not installed here, so that their rules are written down again,
apart from those of :mod:`inspector.checkpoint.loaders`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import open_clip.factory
import safetensors.torch
import timm.models
import timm.models._hub
import torch

_LARGEST = 1 << 24
"""Bytes of a tensor that are hashed."""
_DEPTH = 12
_UNSURE = ("timm folder", "transformers folder, stated file")
"""timm takes the first file of a suffix, a proof's pictures, say, and transformers one that its
configuration names, which clipvet does not read: it matters where that is a twin."""


class Seen(NamedTuple):
    """One mapping that a loader gave; ``is_taken`` says that it is what goes into the model."""

    loader: str
    is_taken: bool
    tensors: dict[str, str]


def bits(tensor: torch.Tensor) -> str:
    """Dtype, number of values, shape and SHA-256 of the values of one tensor."""
    shape = "x".join(map(str, tensor.shape))
    known = f"{tensor.dtype} {tensor.numel()} {shape}"
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return f"{known} {tensor.layout} {tensor.device.type}"
    if tensor.numel() * tensor.element_size() > _LARGEST:
        return f"{known} large"
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return f"{known} {hashlib.sha256(plain.view(torch.uint8).numpy().tobytes()).hexdigest()[:24]}"


def seen_in(path: Path) -> Iterator[Seen]:
    """What every loader gets from the file or folder at ``path``; one that fails gets nothing."""
    if path.is_dir():
        yield from _of_folder(path)
        return
    for name, load in _FILE_LOADERS.items():
        yield from _tried(name, load, path)


def _tried(name: str, load: Callable[[Path], Any], path: Path) -> Iterator[Seen]:
    try:
        content = load(path)
        # Of an object that lies, anything may fail, only now.
        found = list(_mappings(name, content))
    except Exception:
        return
    yield from found


def _mappings(name: str, content: Any) -> Iterator[Seen]:
    if not name.startswith("torch"):
        yield Seen(name, name not in _UNSURE, _tensors(content))
        return
    taken = (
        content["state_dict"] if isinstance(content, dict) and "state_dict" in content else content
    )
    yield Seen(name, True, _tensors(taken))
    seen: set[int] = set()
    for mapping in _inside(content, seen, 0):
        if mapping is not taken:
            yield Seen(name, False, _tensors(mapping))


def _inside(value: Any, seen: set[int], depth: int) -> Iterator[Any]:
    """All mappings and modules in ``value``, that one first."""
    if id(value) in seen or depth > _DEPTH:
        return
    seen.add(id(value))
    children: list[Any] = []
    if isinstance(value, torch.nn.Module):
        yield value
    elif isinstance(value, Mapping):
        yield value
        children = list(value.values())
    elif isinstance(value, list | tuple):
        children = list(value)
    for child in children:
        yield from _inside(child, seen, depth + 1)


def _tensors(mapping: Any) -> dict[str, str]:
    if isinstance(mapping, torch.nn.Module):
        mapping = mapping.state_dict()
    pairs = mapping.items() if isinstance(mapping, Mapping) else ()
    return {
        key if isinstance(key, str) else repr(key): bits(value)
        for key, value in pairs
        if isinstance(value, torch.Tensor)
    }


def _torch(**options: Any) -> Callable[[Path], Any]:
    return lambda path: torch.load(path, map_location="cpu", **options)


def _timm(**options: Any) -> Callable[[Path], Any]:
    return lambda path: timm.models.load_state_dict(str(path), **options)


def _open_clip(**options: Any) -> Callable[[Path], Any]:
    return lambda path: open_clip.factory.load_state_dict(str(path), **options)


_FILE_LOADERS: Mapping[str, Callable[[Path], Any]] = {
    "torch": _torch(weights_only=True),
    "torch mmap": _torch(weights_only=True, mmap=True),
    "torch unrestricted": _torch(weights_only=False),
    "timm": _timm(),
    "timm unrestricted": _timm(weights_only=False),
    "timm without averages": _timm(use_ema=False, weights_only=False),
    "open_clip": _open_clip(),
    "open_clip unrestricted": _open_clip(weights_only=False),
    "safetensors": safetensors.torch.load_file,
}
"""A module that is no dictionary fails in timm and open_clip; the customer then gets nothing."""


def _of_folder(folder: Path) -> Iterator[Seen]:
    """What those loaders get that are given a folder."""
    for place in (folder, *sorted(p for p in folder.rglob("*") if p.is_dir())):
        for name, rule in _FOLDER_LOADERS.items():
            yield from _tried(name, rule, place)


def _open_clip_folder(folder: Path) -> Any:
    assert (folder / "open_clip_config.json").is_file()
    chosen = open_clip.factory._find_checkpoint_in_dir(folder)
    assert chosen
    return open_clip.factory.load_state_dict(chosen, weights_only=False)


def _timm_folder(folder: Path) -> Any:
    assert "architecture" in json.loads((folder / "config.json").read_text())
    return timm.models._hub.load_state_dict_from_path(folder, weights_only=False)


def _transformers_folder(folder: Path) -> Any:
    """``modeling_utils._get_resolved_checkpoint_files`` for a local folder."""
    assert (folder / "config.json").is_file()
    formats = ("model.safetensors", "pytorch_model.bin")
    names = [f"{name}{suffix}" for name in formats for suffix in ("", ".index.json")]
    name = next(name for name in names if (folder / name).is_file())
    if not name.endswith(".json"):
        return _by_suffix(folder / name)
    shards = sorted(set(json.loads((folder / name).read_text())["weight_map"].values()))
    return {k: v for shard in shards for k, v in _by_suffix(folder / shard).items()}


def _stated_file(folder: Path) -> Any:
    """transformers' ``transformers_weights`` in a configuration."""
    return _by_suffix(
        folder / json.loads((folder / "config.json").read_text())["transformers_weights"]
    )


def _by_suffix(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    return torch.load(path, map_location="cpu", weights_only=False)


def _dassl_folder(folder: Path) -> Any:
    """``trainer.load_model``: the best epoch, else the last, which people name."""
    best = folder / "model-best.pth.tar"
    return _state(best if best.is_file() else _last(folder, r"model\.pth\.tar-([0-9]+)"))


def _dassl_last(folder: Path) -> Any:
    return _state(_last(folder, r"model\.pth\.tar-([0-9]+)"))


def _open_clip_training(folder: Path) -> Any:
    latest = folder / "epoch_latest.pt"
    return _state(latest if latest.is_file() else _last(folder, r"epoch_([0-9]+)\.pt"))


def _lightning_folder(folder: Path) -> Any:
    return _state(folder / "last.ckpt")


def _last(folder: Path, pattern: str) -> Path:
    matches = [m for m in (re.fullmatch(pattern, p.name) for p in folder.iterdir()) if m]
    return folder / max(matches, key=lambda match: int(match[1])).string


def _state(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=False)["state_dict"]


_FOLDER_LOADERS: Mapping[str, Callable[[Path], Any]] = {
    "open_clip folder": _open_clip_folder,
    "timm folder": _timm_folder,
    "transformers folder": _transformers_folder,
    "transformers folder, stated file": _stated_file,
    "Dassl folder": _dassl_folder,
    "Dassl folder, last epoch": _dassl_last,
    "open_clip's training": _open_clip_training,
    "Lightning folder": _lightning_folder,
}
