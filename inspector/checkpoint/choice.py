"""Which file of a folder is the checkpoint, by names alone.

Dassl writes ``<folder>/model.pth.tar-<epoch>``, perhaps ``model-best.pth.tar``, and a text file
``checkpoint``; its users load the best one unless they name an epoch, and so do we. CLIP-LoRA writes
``lora_weights.pt``, Tip-Adapter three files that only together make a model. BadCLIP's ``trigger``
folder is never a model, nor is what lies beside one to prove it. A statement of prompts counts where
nothing else does. Knows no bytes. Sources: ``dassl/utils/torchtools.py``, MaxZanella/CLIP-LoRA
``loralib/utils.py``, gaopengcuhk/Tip-Adapter ``utils.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from inspector.checkpoint.wording import printable
from inspector.errors import UnsupportedFormat

_EPOCH = re.compile(r"model\.pth\.tar-([0-9]{1,9})")
_LOOSE = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".safetensors", ".tar")
_SHOTS = re.compile(r"(best_F|keys|values)_([0-9]{1,6})shots\.pt")
_PARTS = ("best_F", "keys", "values")
_PROOFS = ("images.safetensors", "logits.safetensors", "trigger.safetensors")
_STATEMENTS = ("manifest.json", "prompts.json")
_TWINS = (
    ("model.safetensors", "pytorch_model.bin"),
    ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
)
"""One model saved twice; libraries that find both load the first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen member, and all others; ``parts`` are several that are read together, in order."""

    member: str
    ignored: tuple[str, ...]
    parts: tuple[str, ...] = ()


def choose(names: Iterable[str]) -> Choice:
    """The checkpoint among the files ``names`` (relative, with forward slashes).

    Raises:
        UnsupportedFormat: there is none, or several of equal rank.
    """
    every = sorted(names)
    together = _together(every)
    if together is not None:
        return together
    ranked: dict[tuple[int, int], list[str]] = {}
    for name in every:
        rank = _rank(name)
        if rank is not None:
            ranked.setdefault(rank, []).append(name)
    if not ranked:
        raise UnsupportedFormat("archive-no-checkpoint", "no checkpoint file inside")
    certain = [ns for rank, ns in ranked.items() if rank[0] > 0]
    folders = {str(PurePosixPath(name).parent) for names in certain for name in names}
    best = _without_twin(ranked[max(ranked)])
    if len(best) > 1 or len(folders) > 1:
        several = sorted(name for found in ranked.values() for name in found)
        raise UnsupportedFormat("archive-ambiguous", f"several checkpoints: {_listed(several)}")
    return Choice(best[0], tuple(name for name in every if name != best[0]))


def part_name(name: str) -> str | None:
    """Which part of a model in several files the file ``name`` is, None for any other file."""
    match = _SHOTS.fullmatch(PurePosixPath(name).name)
    return match[1] if match else None


def _together(every: list[str]) -> Choice | None:
    """Tip-Adapter's files where they are of one folder and one number of shots, and alone."""
    parts = sorted(filter(part_name, every), key=lambda name: _PARTS.index(part_name(name) or ""))
    of_one = {_SHOTS.sub(r"\2", name) for name in parts}
    kinds = {part_name(name) for name in parts}
    if len(of_one) != 1 or "values" not in kinds or len(kinds) < 2:
        return None
    if any((_rank(name) or (0, 0)) > (0, 0) for name in every):
        return None
    return Choice(parts[0], tuple(n for n in every if n not in parts), tuple(parts))


def _without_twin(best: list[str]) -> list[str]:
    folders = {PurePosixPath(name).parent for name in best}
    by_name = {PurePosixPath(name).name: name for name in best}
    for twins in _TWINS:
        if set(by_name) == set(twins) and len(folders) == 1:
            return [by_name[twins[0]]]
    return best


def _rank(name: str) -> tuple[int, int] | None:
    """Higher is better; None for what cannot be the model."""
    path = PurePosixPath(name)
    if "trigger" in path.parts[:-1] or "__MACOSX" in path.parts or path.name.startswith("._"):
        return None
    if path.name in _PROOFS:
        return None
    if path.name in _STATEMENTS:
        return (-1, 0)
    if path.name == "model-best.pth.tar":
        return (2, 0)
    if match := _EPOCH.fullmatch(path.name):
        return (1, int(match[1]))
    if path.name == "lora_weights.pt":
        return (1, 0)
    return (0, 0) if path.suffix in _LOOSE else None


def _listed(names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown}, … ({len(names)} in all)"
