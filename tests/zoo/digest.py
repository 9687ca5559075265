"""The tensors of a zoo model's checkpoint as one SHA-256: the same for the same tensors, whatever the file.

The container also holds an optimiser, a scheduler and times, none of which a model's answers depend on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor


def checkpoint_in(folder: Path) -> Path:
    """The one checkpoint of a finished model; Dassl's text file beside it is none.

    Raises:
        ValueError: there is none, or several.
    """
    files = [path for path in (folder / "prompt_learner").rglob("*") if path.is_file()]
    found = [path for path in files if path.name != "checkpoint"]
    if len(found) != 1:
        raise ValueError(f"{folder.name} has {len(found)} checkpoints")
    return found[0]


def digest_in(folder: Path) -> str:
    """`digest` of the folder's checkpoint. It is unpickled: for models of our own building only.

    Raises:
        ValueError: as `checkpoint_in`, or there is no tensor.
    """
    content = torch.load(checkpoint_in(folder), map_location="cpu", weights_only=False)
    return digest(content.get("state_dict", content))


def digest(state: Mapping[str, object]) -> str:
    """Of names, types, shapes and bytes, in the order of the names.

    Raises:
        ValueError: there is no tensor.
    """
    tensors = dict(_tensors(state, ""))
    if not tensors:
        raise ValueError("no tensor")
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        whole.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _tensors(state: Mapping[str, object], above: str) -> Iterator[tuple[str, Tensor]]:
    """Of nested mappings as well (CLIP-LoRA's), by their path."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield above + name, value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{above}{name}/")
