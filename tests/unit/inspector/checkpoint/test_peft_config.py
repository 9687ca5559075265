"""`adapter_config.json`: what is read, and what is refused because it would change the model."""

from __future__ import annotations

import json
import math

import pytest

from inspector.checkpoint.families.peft_config import (
    Config,
    UnusableConfig,
    check_config,
    parse_config,
)
from inspector.checkpoint.limits import Limits
from inspector.errors import LimitExceeded, UnsupportedFormat
from tests.support.peft import FC1, OUT, Q, settings

TEXT_Q = Q.replace("vision_model.encoder.layers.1", "text_model.encoder.layers.0")


def parsed(**changes: object) -> Config:
    return parse_config(json.dumps(settings(**changes)).encode())


@pytest.mark.parametrize(
    ("changes", "adapted", "left"),
    [
        ({"target_modules": ["q_proj"]}, [Q, TEXT_Q], [FC1, OUT]),
        ({"target_modules": ["_proj", "proj"]}, [], [Q, OUT, "visual_projection"]),
        ({"target_modules": [Q]}, [Q], [TEXT_Q]),
        ({"target_modules": "All-Linear"}, [Q, FC1, "text_projection"],
         ["vision_model.embeddings.patch_embedding"]),
        ({"target_modules": r".*layers\.[01]\..*_proj"}, [Q, OUT, TEXT_Q], [FC1]),
        ({"target_modules": "q_proj"}, [], [Q]),
        ({"target_modules": None}, [], [Q]),
        ({"exclude_modules": "text_model.*"}, [Q, FC1], [TEXT_Q]),
        ({"exclude_modules": ["fc1"]}, [Q, OUT], [FC1]),
        ({"layers_to_transform": 0}, [TEXT_Q], [Q]),
        ({"layers_to_transform": 0, "target_modules": ["text_projection", Q, "fc1"]},
         ["text_projection", Q], [FC1]),
        ({"layers_to_transform": [1], "layers_pattern": "layers"}, [Q], [TEXT_Q]),
        ({"layers_to_transform": [1], "layers_pattern": ["blocks"]}, [], [Q, TEXT_Q]),
        ({"layers_to_transform": []}, [Q, TEXT_Q], []),
        ({"modules_to_save": ["mlp"]}, [Q], [FC1]),
        ({"modules_to_save": ["vision_model"]}, [TEXT_Q], [Q, FC1]),
    ],
)  # fmt: skip
def test_which_modules_are_adapted(
    changes: dict[str, object], adapted: list[str], left: list[str]
) -> None:
    config = parsed(**changes)
    assert [module for module in (*adapted, *left) if config.adapts(module)] == adapted


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({}, 3.0),
        ({"use_rslora": True}, 6 / math.sqrt(2)),
        ({"lora_alpha": 0.5, "r": 4}, 0.125),
        ({"rank_pattern": {"fc1": 3, "q_proj": 8}}, 0.75),
        ({"rank_pattern": {r".*layers\.1.*": 3, "q_proj": 8}}, 2.0),
        ({"alpha_pattern": {"k_proj|q_proj": 10}}, 5.0),
        ({"alpha_pattern": {f"^{Q}": 10}}, 5.0),
        ({"alpha_pattern": {"^q_proj": 10, "proj": 4, "": 9}}, 3.0),
    ],
)
def test_factors(changes: dict[str, object], scale: float) -> None:
    assert parsed(**changes).scale_of(Q) == pytest.approx(scale)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "LOHA"}, 'peft_type "LOHA" is not read'),
        ({"peft_type": None}, "peft_type null"),
        ({"init_lora_weights": "pissa"}, "backbone's own weights"),
        ({"init_lora_weights": "pissa_niter_4"}, "backbone's own weights"),
        ({"init_lora_weights": "olora"}, "converted to plain LoRA"),
        ({"init_lora_weights": None}, "init_lora_weights null"),
        ({"target_parameters": ["embeddings.class_embedding"]}, "target_parameters"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"alora_invocation_tokens": [3]}, "alora_invocation_tokens"),
        ({"kasa_config": {"beta": 1}}, "kasa_config"),
        ({"a_setting_of_next_year": 0.5}, "a_setting_of_next_year"),
        ({"auto_mapping": {"base_model_class": "CLIPForImageClassification"}}, "was made for"),
        ({"auto_mapping": {"base_model_class": ["CLIPModel"]}}, "was made for"),
        ({"auto_mapping": {"parent_library": "antigravity"}}, "would import"),
        ({"auto_mapping": ["CLIPModel"]}, "auto_mapping must be"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path must be"),
        ({"r": 0}, "r must be"), ({"r": True}, "r must be"), ({"r": 2.0}, "r must be"),
        ({"lora_alpha": "8"}, "lora_alpha must be"), ({"lora_alpha": 10**400}, "lora_alpha must be"),
        ({"use_rslora": "false"}, "use_rslora must be"), ({"use_dora": 1}, "use_dora must be"),
        ({"rank_pattern": [1]}, "rank_pattern must be"),
        ({"rank_pattern": {"q_proj": -1}}, "rank_pattern must be"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern must be"),
        ({"target_modules": [["q_proj"]]}, "target_modules must hold names"),
        ({"target_modules": 7}, "target_modules must be"),
        ({"modules_to_save": "classifier"}, "modules_to_save must be"),
        ({"modules_to_save": [""]}, "modules_to_save must hold names"),
        ({"modules_to_save": ["a|b"]}, "no plain name"),
        ({"layers_to_transform": [True]}, "layers_to_transform"),
        ({"target_modules": "q.*", "layers_to_transform": [1]}, "beside an expression"),
        ({"use_dora": True, "lora_bias": True}, "together"),
    ],
)  # fmt: skip
def test_what_would_be_another_model_is_refused(changes: dict[str, object], said: str) -> None:
    raw = json.dumps(settings(**changes)).encode()
    with pytest.raises(UnusableConfig, match=said):
        parse_config(raw)
    with pytest.raises(UnsupportedFormat, match=said):
        check_config(raw, Limits())


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b"\xff", b'{"r": NaN, "peft_type": "LORA"}', b"[" * 100_000, b"1" * 5000],
)
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match=r"adapter_config\.json"):
        check_config(raw, Limits())


def test_settings_are_bounded() -> None:
    check_config(json.dumps(settings()).encode(), Limits())
    with pytest.raises(LimitExceeded):
        check_config(b" " * 2**21, Limits())
    for key in ("target_modules", "modules_to_save"):
        with pytest.raises(UnusableConfig, match="at most"):
            parsed(**{key: ["x"] * 6000})


@pytest.mark.parametrize("module", [Q, FC1])
def test_bad_expressions_are_found_when_they_are_asked(module: str) -> None:
    for key in ("target_modules", "exclude_modules"):
        with pytest.raises(UnusableConfig, match="regular expression"):
            parsed(**{key: r"(a)\1"}).adapts(module)
    with pytest.raises(UnusableConfig, match="regular expression"):
        parsed(alpha_pattern={"(": 1}).scale_of(module)
