"""``adapter_config.json`` of a PEFT LoRA adapter: which modules it adapts, and by what factor.

The file is as hostile as the tensors. What does not change the forward pass is passed over, what
does and is computed here is checked, and anything else, unknown keys too, must be unset: otherwise
the model inspected would not be the one that PEFT loads. Knows names of modules, no tensors.
Source: huggingface/peft ``tuners/lora/{config,model}.py``, ``tuners/tuners_utils.py`` and
``utils/other.py``; patterns of ranks and alphas are read as since its version 0.15.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from inspector.checkpoint.families.hf_names import is_linear
from inspector.checkpoint.families.patterns import Fuel, Pattern, UnreadablePattern
from inspector.checkpoint.limits import Limits
from inspector.errors import LimitExceeded, UnsupportedFormat

STATEMENT = "adapter_config.json"
"""The file, and the tensor that the reader makes of it."""
_PASSED_OVER = frozenset(
    {
        # Where it comes from, how it was trained, how much memory loading may take.
        "auto_mapping", "base_model_name_or_path", "revision", "task_type", "peft_version",
        "inference_mode", "lora_dropout", "bias", "runtime_config",
        # Read only with a setting that is refused below.
        "megatron_core", "qalora_group_size", "loftq_config", "eva_config", "corda_config",
        "lora_ga_config",
        # Of layers that store their weight the other way round, and of tied ones: CLIP has neither.
        "fan_in_fan_out", "ensure_weight_tying",
    }
)  # fmt: skip
_READ = frozenset(
    {
        "peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "lora_bias", "rank_pattern",
        "alpha_pattern", "target_modules", "exclude_modules", "layers_to_transform",
        "layers_pattern", "modules_to_save", "init_lora_weights",
    }
)  # fmt: skip
_ZERO_STARTS = ("gaussian", "eva")
_RANDOM_STARTS = ("orthogonal",)
"""Ways to initialise that leave the backbone's weights alone; with the first B starts at zero."""
_BASES = {
    "CLIPModel": ("text", "vision"),
    "CLIPVisionModelWithProjection": ("vision",),
    "CLIPTextModelWithProjection": ("text",),
}
_LIBRARY = "transformers.models.clip.modeling_clip"
_ALL_LINEAR = "all-linear"
_PLAIN = re.compile(r"[A-Za-z0-9_.]+")
_MOST = 5_000
"""Entries of a list or of a table of patterns."""
_LARGEST = 1e6


class UnusableConfig(ValueError):
    """The settings are wrong, or ask for what is not computed here."""


def check_config(raw: bytes, limits: Limits) -> None:
    """That ``raw`` states an adapter that can be computed.

    Raises:
        LimitExceeded: more than ``limits.string_bytes``.
        UnsupportedFormat: anything else.
    """
    if len(raw) > limits.string_bytes:
        raise LimitExceeded(f"bytes of {STATEMENT}", limits.string_bytes, len(raw))
    try:
        parse_config(raw)
    except UnusableConfig as problem:
        raise UnsupportedFormat("unsupported-format", str(problem)) from problem


@dataclass(frozen=True, slots=True)
class Config:
    """The settings that matter; modules are named as ``CLIPModel`` names them.

    ``towers`` are those of the class that the adapter was made for, ``base`` is the model that its
    loader may fetch for itself.
    """

    rank: int
    alpha: float
    is_rank_stabilised: bool
    has_magnitudes: bool
    has_biases: bool
    is_random: bool
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    targets: str | tuple[str, ...]
    excluded: str | tuple[str, ...]
    layers: tuple[int, ...]
    layer_lists: tuple[str, ...]
    copied: tuple[str, ...]
    towers: tuple[str, ...]
    base: str
    _fuel: Fuel = field(default_factory=Fuel)
    _patterns: dict[str, Pattern] = field(default_factory=dict)

    def adapts(self, module: str) -> bool:
        """Whether PEFT puts low-rank matrices on a module of that name.

        Raises:
            UnusableConfig: an expression takes too long.
        """
        if self._is_named(self.excluded, module) or self._is_left_out(module):
            return False
        if self.targets == _ALL_LINEAR:
            return is_linear(module)
        if not isinstance(self.targets, str) and module in self.targets:
            # A full name is taken at its word, whatever is said of layers.
            return True
        return self._is_named(self.targets, module) and self._is_of_a_layer(module)

    def copies(self, module: str) -> bool:
        """Whether the adapter has its own copy of the module, or of one that holds it."""
        parts = module.split(".")
        above = [".".join(parts[: length + 1]) for length in range(len(parts))]
        return any(map(self.wraps, above))

    def wraps(self, module: str) -> bool:
        """Whether the adapter has its own copy of the module by its name alone."""
        return module.endswith(self.copied)

    def rank_of(self, module: str) -> int:
        """The rank of the module's matrices."""
        return self.ranks.get(self._first(self.ranks, module), self.rank)

    def scale_of(self, module: str) -> float:
        """The factor of B A."""
        alpha = self.alphas.get(self._first(self.alphas, module), self.alpha)
        rank = self.rank_of(module)
        return alpha / math.sqrt(rank) if self.is_rank_stabilised else alpha / rank

    def _first(self, patterns: Mapping[str, object], module: str) -> str:
        for pattern in patterns:
            if len(module) in self._ends(pattern, module, after_dots=True):
                return pattern
        return module

    def _is_named(self, chosen: str | tuple[str, ...], module: str) -> bool:
        if isinstance(chosen, str):
            return bool(chosen) and len(module) in self._ends(chosen, module)
        return any(module == name or module.endswith(f".{name}") for name in chosen)

    def _is_left_out(self, module: str) -> bool:
        """Whether copying keeps matrices off the module: another rule than copying's own."""
        ends = (end for name in self.copied for end in self._ends(name, module, after_dots=True))
        return any(module[end : end + 1] in ("", ".") for end in ends)

    def _is_of_a_layer(self, module: str) -> bool:
        if not self.layers:
            return True
        parts = module.split(".")
        for index in range(2, len(parts) - 1):
            if parts[index].isdecimal():
                before = ".".join(parts[:index])
                is_listed = not self.layer_lists or any(
                    len(before) in self._ends(name, before, after_dots=True)
                    for name in self.layer_lists
                )
                return is_listed and int(parts[index]) in self.layers
        return False

    def _ends(self, pattern: str, text: str, *, after_dots: bool = False) -> frozenset[int]:
        """Where the pattern ends, from the beginning of ``text`` or also from behind a dot."""
        dots = (at + 1 for at, letter in enumerate(text) if letter == "." and after_dots)
        try:
            if pattern not in self._patterns:
                self._patterns[pattern] = Pattern(pattern, self._fuel)
            return self._patterns[pattern].ends(text, frozenset({0, *dots}))
        except UnreadablePattern as problem:
            raise UnusableConfig(f"{STATEMENT}: {problem}") from problem


def parse_config(raw: bytes) -> Config:
    """The settings in ``raw``.

    Raises:
        UnusableConfig: why they cannot be used.
    """
    values = _Values(_object(raw))
    values.check_type()
    values.check_rest()
    start = values.start()
    config = Config(
        rank=values.rank("r", values.data.get("r", 8)),
        alpha=values.number("lora_alpha", values.data.get("lora_alpha", 8)),
        is_rank_stabilised=values.flag("use_rslora"),
        has_magnitudes=values.flag("use_dora"),
        has_biases=values.flag("lora_bias"),
        is_random=start is False or start in _RANDOM_STARTS,
        ranks={
            key: values.rank("rank_pattern", value) for key, value in values.table("rank_pattern")
        },
        alphas={
            key: values.number("alpha_pattern", value)
            for key, value in values.table("alpha_pattern")
        },
        targets=values.names("target_modules"),
        excluded=values.names("exclude_modules"),
        layers=values.layers(),
        layer_lists=values.plain("layers_pattern"),
        copied=values.plain("modules_to_save"),
        towers=values.towers(),
        base=values.base(),
    )
    if config.has_magnitudes and config.has_biases:
        _refuse("use_dora and lora_bias together, which PEFT does not load")
    if isinstance(config.targets, str) and (config.layers or config.layer_lists):
        _refuse("layers_to_transform beside an expression, which PEFT does not load")
    return config


def _refuse(what: str) -> NoReturn:
    raise UnusableConfig(f"{STATEMENT}: {what}")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise UnusableConfig(f"{STATEMENT} is no JSON") from problem
    if not isinstance(data, dict):
        _refuse("no JSON object")
    return data


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


class _Values:
    """Typed access to the settings; every method raises UnusableConfig."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def check_type(self) -> None:
        kind = self.data.get("peft_type")
        if kind != "LORA":
            _refuse(f"peft_type {_shown(kind)} is not read, only LORA is")

    def check_rest(self) -> None:
        """That nothing is set that would change the forward pass in a way not computed here."""
        for key, value in self.data.items():
            if (
                key not in _PASSED_OVER
                and key not in _READ
                and value not in (None, False, [], {}, "")
            ):
                _refuse(f"{_shown(key)} is set to {_shown(value)}, which is not computed here")

    def start(self) -> bool | str:
        start = self.data.get("init_lora_weights", True)
        if isinstance(start, bool) or start in (*_ZERO_STARTS, *_RANDOM_STARTS):
            return start  # type: ignore[no-any-return]
        _refuse(
            f"init_lora_weights {_shown(start)} changes the backbone's own weights on loading, or "
            "may; ask for the adapter converted to plain LoRA "
            "(path_initial_model_for_weight_conversion)"
        )

    def flag(self, key: str) -> bool:
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            _refuse(f"{key} must be true or false")
        return value

    def rank(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LARGEST:
            _refuse(f"{key} must be a positive whole number, not {_shown(value)}")
        return value

    def number(self, key: str, value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) < _LARGEST:  # type: ignore[arg-type]
            _refuse(f"{key} must be a number, not {_shown(value)}")
        return float(value)  # type: ignore[arg-type]

    def table(self, key: str) -> Iterator[tuple[str, object]]:
        value = self.data.get(key)
        if value is not None and (not isinstance(value, dict) or len(value) > _MOST):
            _refuse(f"{key} must be an object of at most {_MOST} entries")
        yield from (value or {}).items()

    def names(self, key: str) -> str | tuple[str, ...]:
        """A regular expression, or a list of names."""
        value = self.data.get(key)
        if not isinstance(value, str):
            return self.listed(key)
        return _ALL_LINEAR if value.lower() == _ALL_LINEAR else value

    def listed(self, key: str) -> tuple[str, ...]:
        value = self.data.get(key)
        if isinstance(value, str) and key == "layers_pattern":
            value = [value] if value else []
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > _MOST:
            _refuse(f"{key} must be a list of at most {_MOST} names")
        if not all(isinstance(name, str) and name for name in value):
            _refuse(f"{key} must hold names")
        return tuple(value)

    def plain(self, key: str) -> tuple[str, ...]:
        """Names that PEFT puts into regular expressions of its own."""
        names = self.listed(key)
        odd = [name for name in names if not _PLAIN.fullmatch(name)]
        if odd:
            _refuse(f"{key} holds {_shown(odd[0])}, which is no plain name")
        return names

    def layers(self) -> tuple[int, ...]:
        value = self.data.get("layers_to_transform")
        several = value if isinstance(value, list) else [] if value is None else [value]
        if len(several) > _MOST or any(
            isinstance(layer, bool) or not isinstance(layer, int) for layer in several
        ):
            _refuse("layers_to_transform must be numbers of layers")
        return tuple(several)

    def base(self) -> str:
        base = self.data.get("base_model_name_or_path") or ""
        if not isinstance(base, str):
            _refuse("base_model_name_or_path must be a name")
        return _shown(base) if base else ""

    def towers(self) -> tuple[str, ...]:
        mapping = self.data.get("auto_mapping") or {}
        if not isinstance(mapping, dict):
            _refuse("auto_mapping must be an object")
        base, library = mapping.get("base_model_class"), mapping.get("parent_library", _LIBRARY)
        if library is not None and library != _LIBRARY:
            _refuse(f"PEFT would import {_shown(library)} for the base model, not {_LIBRARY}")
        if base is not None and (not isinstance(base, str) or base not in _BASES):
            _refuse(
                f"the adapter was made for {_shown(base)}, which is not what is inspected; read "
                f"are adapters of {', '.join(_BASES)}"
            )
        return _BASES[base or "CLIPModel"]


def _shown(value: object) -> str:
    """A value of the file for a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
