"""What the loaders that customers use would open: which file of a folder, which key of a file.

The one place where other people's rules stand. What clipvet judges must be what they load; where
they would take something else instead, or beside, the reader names it
(:mod:`inspector.checkpoint.states`, :mod:`inspector.checkpoint.choice`).
Knows names only, no bytes.

Sources: ``dassl/utils/torchtools.py`` and ``dassl/engine/trainer.py`` (``load_model``);
MaxZanella/CLIP-LoRA ``loralib/utils.py``; gaopengcuhk/Tip-Adapter ``utils.py``; transformers
``modeling_utils.py`` (``_get_resolved_checkpoint_files``); peft ``utils/save_and_load.py``; timm
``models/_helpers.py`` (``load_state_dict``) and ``models/_hub.py`` (``load_state_dict_from_path``);
open_clip ``factory.py`` (``load_state_dict``, ``_find_checkpoint_in_dir``) and
``open_clip_train/main.py`` (``get_latest_checkpoint``); Lightning ``checkpoint_connector.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from inspector.checkpoint.families import peft_config

ADAPTER_CONFIG = peft_config.STATEMENT
TIP_PARTS = ("best_F", "keys", "values")
_SHOTS = re.compile(r"(best_F|keys|values)_([0-9]{1,6})shots\.pt")
_DASSL_BEST = "model-best.pth.tar"
# As loaders spell a number: without a zero in front, which would make two files of one number.
_NUMBER = r"0|[1-9][0-9]{0,8}"
_DASSL_EPOCH = re.compile(rf"model\.pth\.tar-({_NUMBER})")
_OPEN_CLIP_EPOCH = re.compile(rf"epoch_({_NUMBER}|latest)\.pt")
_INDEXES = {
    "model.safetensors.index.json": re.compile(r"model-[0-9]{5}-of-[0-9]{5}\.safetensors"),
    "pytorch_model.bin.index.json": re.compile(r"pytorch_model-[0-9]{5}-of-[0-9]{5}\.bin"),
}
_TRANSFORMERS = (
    "model.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
_PEFT = ("adapter_model.safetensors", "adapter_model.bin")
_OPEN_CLIP = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
_TIMM = (
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
)  # fmt: skip
_OPEN_CLIP_CONFIG = "open_clip_config.json"
_OPEN_CLIP_SUFFIXES = ((".safetensors",), (".bin", ".pth"))
_TIMM_SUFFIXES = ((".safetensors",), (".pth",), (".pth.tar",), (".bin",))

LEFTOVERS = re.compile(
    r"(optimizer|scheduler|scaler|sampler|dl_state_dict)(_[0-9]+)?\.(pt|pth|bin|safetensors)"
    r"|(rng_state|random_states)(_[0-9]+)?\.(pth|pt|pkl)|training_args\.bin"
    r"|custom_checkpoint_[0-9]+\.pkl|zero_pp_rank_.*|.*_optim_states\.pt|dataloader.*\.pt"
)
"""State of a training run beside its model, as transformers, accelerate and DeepSpeed call it."""
CHECKPOINT_FOLDER = re.compile(rf"checkpoint[-_]({_NUMBER})")
"""Folders of earlier steps below a model's, as transformers and accelerate call them."""


class Pick(NamedTuple):
    """Files that ``loader`` opens as one model, the one that stands for it first."""

    loader: str
    files: tuple[str, ...]

    @property
    def is_prompt(self) -> bool:
        """Whether the loader is one of prompts and adapters, not of whole models."""
        return self.loader in _OF_PROMPTS


def picks(names: Iterable[str]) -> list[Pick]:
    """What each loader would take among the files ``names`` of one folder.

    The first is the model; the others are what some loader, or the same one with another option,
    takes in its place. Files that no rule names are not in it.
    """
    there = frozenset(names)
    found: list[Pick] = []
    for loader, rule in _FOLDER_RULES.items():
        for files in rule(there):
            if all(files != pick.files for pick in found):
                found.append(Pick(loader, files))
    return found


def part_name(name: str) -> str | None:
    """Which part of a Tip-Adapter the file ``name`` is, None for any other file."""
    match = _SHOTS.fullmatch(name)
    return match[1] if match else None


def shard_index(name: str) -> str | None:
    """The index that belongs to a shard, or to itself; None for any other file."""
    for index, shard in _INDEXES.items():
        if name == index or shard.fullmatch(name):
            return index
    return None


def belongs_to_several(name: str) -> bool:
    """Whether a file of this name may be one of several that only together make a model."""
    return bool(part_name(name) or shard_index(name) or name in (*_PEFT, ADAPTER_CONFIG))


def is_epoch_of(name: str, other: str) -> bool:
    """Whether both are epochs of one training, which no loader takes unless it is told which."""
    rules = (_DASSL_EPOCH, _OPEN_CLIP_EPOCH)
    return any(rule.fullmatch(name) and rule.fullmatch(other) for rule in rules)


def firsts(names: Iterable[str]) -> list[Pick]:
    """What open_clip and timm take in a folder where no file has a name that they prefer.

    The first of the first suffix that there is, be it what it may. Without a loader's name where it
    takes the folder only if that has a configuration of its own kind, which names do not tell.
    """
    every = sorted(names)
    found = []
    for preferred, groups in ((_OPEN_CLIP, _OPEN_CLIP_SUFFIXES), (_TIMM, _TIMM_SUFFIXES)):
        ranked = [n for suffixes in groups for n in every if n.endswith(suffixes)]
        if ranked and not any(name in every for name in preferred):
            is_sure = preferred is _OPEN_CLIP and _OPEN_CLIP_CONFIG in every
            found.append(Pick("open_clip" if is_sure else "", (ranked[0],)))
    return found


_Picked = Iterable[tuple[str, ...]]


def _dassl(names: frozenset[str]) -> _Picked:
    # Without an epoch the best one is loaded, with one that epoch; people name the last.
    epochs = {int(match[1]): match[0] for match in map(_DASSL_EPOCH.fullmatch, names) if match}
    if _DASSL_BEST in names:
        yield (_DASSL_BEST,)
    if epochs:
        yield (epochs[max(epochs)],)


def _clip_lora(names: frozenset[str]) -> _Picked:
    return [("lora_weights.pt",)] if "lora_weights.pt" in names else []


def _tip_adapter(names: frozenset[str]) -> _Picked:
    by_shots: dict[str, dict[str, str]] = {}
    for match in map(_SHOTS.fullmatch, names):
        if match:
            by_shots.setdefault(match[2], {})[match[1]] = match[0]
    for _shots, parts in sorted(by_shots.items(), key=lambda item: int(item[0])):
        if "values" in parts and len(parts) > 1:
            yield tuple(parts[part] for part in TIP_PARTS if part in parts)


def _peft(names: frozenset[str]) -> _Picked:
    config = (ADAPTER_CONFIG,) if ADAPTER_CONFIG in names else ()
    return [(name, *config) for name in _PEFT if name in names]


def _transformers(names: frozenset[str]) -> _Picked:
    for name in _TRANSFORMERS:
        if name in names:
            shard = _INDEXES.get(name)
            shards = sorted(filter(shard.fullmatch, names)) if shard else ()
            yield (name, *shards)


def _open_clip(names: frozenset[str]) -> _Picked:
    return [(name,) for name in _OPEN_CLIP if name in names]


def _timm(names: frozenset[str]) -> _Picked:
    return [(name,) for name in _TIMM if name in names]


def _open_clip_training(names: frozenset[str]) -> _Picked:
    epochs = {match[1]: match[0] for match in map(_OPEN_CLIP_EPOCH.fullmatch, names) if match}
    latest = epochs.pop("latest", None)
    if latest:
        yield (latest,)
    if epochs:
        yield (epochs[max(epochs, key=int)],)


def _lightning(names: frozenset[str]) -> _Picked:
    if "last.ckpt" in names:
        yield ("last.ckpt",)
        yield from ((name,) for name in sorted(names) if name.endswith(".ckpt"))


_FOLDER_RULES: Mapping[str, Callable[[frozenset[str]], _Picked]] = {
    "Dassl": _dassl,
    "CLIP-LoRA": _clip_lora,
    "Tip-Adapter": _tip_adapter,
    "peft": _peft,
    "transformers": _transformers,
    "open_clip": _open_clip,
    "timm": _timm,
    "open_clip's training": _open_clip_training,
    "Lightning": _lightning,
}
"""By loader, groups of files in its own order of preference. Of two models in one folder the one of
the rule that stands first here is judged first."""


_OF_PROMPTS = ("Dassl", "CLIP-LoRA", "Tip-Adapter", "peft")


class KeyRule(NamedTuple):
    """How ``loader`` finds the weights in a loaded file.

    ``key`` gives the top-level key that it takes, None where it takes the whole; ``rename`` what it
    makes of the names in the order in which they stand.
    """

    loader: str
    key: Callable[[Mapping[str, object]], str | None]
    rename: Callable[[Sequence[str]], list[str]]


def _state_dict(top: Mapping[str, object]) -> str | None:
    return "state_dict" if "state_dict" in top else None


def _timm_key(top: Mapping[str, object]) -> str | None:
    for key in ("state_dict_ema", "model_ema"):
        if top.get(key) is not None:
            return key
    return _timm_plain_key(top)


def _timm_plain_key(top: Mapping[str, object]) -> str | None:
    return next((key for key in ("state_dict", "model") if key in top), None)


def _timm_names(names: Sequence[str]) -> list[str]:
    wrapped = ("_orig_mod.", "module.", "_orig_mod.")
    cleaned = []
    for name in names:
        for prefix in wrapped:
            name = name.removeprefix(prefix)
        cleaned.append(name)
    return cleaned


def name_given_twice(names: Sequence[str]) -> str | None:
    """A name that two of ``names`` become without their wrappers' prefixes, or None."""
    cleaned = _timm_names(names)
    seen: set[str] = set()
    for name in cleaned:
        if name in seen:
            return name
        seen.add(name)
    return None


def _open_clip_names(names: Sequence[str]) -> list[str]:
    # Seven characters, of every name, whatever they are.
    is_cut = bool(names) and names[0].startswith("module")
    return [name[7:] for name in names] if is_cut else list(names)


KEY_RULES = (
    KeyRule("timm", _timm_key, _timm_names),
    KeyRule("open_clip", _state_dict, _open_clip_names),
    KeyRule("Dassl", _state_dict, list),
    KeyRule("timm without averages", _timm_plain_key, _timm_names),
)
