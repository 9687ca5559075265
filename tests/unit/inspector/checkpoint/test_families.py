"""Families are told apart by keys and shapes; what the file can say is read from it."""

from __future__ import annotations

import pytest

from inspector.checkpoint.families import FAMILIES, NAMES, named, recognise
from inspector.checkpoint.reasons import REASONS
from inspector.errors import AmbiguousFamily, ArtifactError, ShapeMismatch, UnknownFamily

COOP = {"ctx": (4, 16), "token_prefix": (5, 1, 16), "token_suffix": (5, 72, 16)}
META = {
    "meta_net.linear1.weight": (2, 32),
    "meta_net.linear1.bias": (2,),
    "meta_net.linear2.weight": (16, 2),
    "meta_net.linear2.bias": (16,),
}
KG = {
    "bias_vectors": (1, 512),
    "meta_net.linear1.weight": (512, 512),
    "meta_net.linear1.bias": (512,),
}
MANY = {"meta_net.linear2.weight": (64, 2), "meta_net.linear2.bias": (64,)}
LEARNER = {f"prompt_learner.{key}": shape for key, shape in COOP.items()}
ENCODER = {"image_encoder.conv1.weight": (24, 3, 8, 8), "logit_scale": ()}
IVLP = LEARNER | ENCODER
MAPLE = IVLP | {"prompt_learner.proj.weight": (24, 16), "prompt_learner.proj.bias": (24,)}
DEEP = {
    "prompt_learner.compound_prompts_text.0": (4, 16),
    "prompt_learner.compound_prompt_projections.0.weight": (24, 16),
    "prompt_learner.compound_prompt_projections.0.bias": (24,),
}
BLOCK = "image_encoder.transformer.resblocks.{}.VPT_shallow"
VPT = {"image_encoder.VPT": (3, 24), BLOCK.format(1): (3, 24)}
ZERO_SHOT = {"prompt_learner.ZS_image_encoder.conv1.weight": (24, 3, 8, 8)}
ADAPTER = {"fc.0.weight": (8, 32), "fc.2.weight": (32, 8)}
ADAPTERS = {
    f"adapter_{side}.{key}": shape for side in ("image", "text") for key, shape in ADAPTER.items()
}


@pytest.mark.parametrize(
    ("shapes", "family", "options"),
    [
        (COOP, "CoOp", {"n_ctx": 4, "num_classes": 5, "class_specific": False}),
        ({"ctx": (4, 16)}, "CoOp", {"num_classes": None, "context_length": None}),
        (COOP | {"ctx": (5, 4, 16)}, "CoOp", {"class_specific": True, "width": 16}),
        (COOP | META, "CoCoOp", {"hidden": 2, "embed_dim": 32, "context_length": 77}),
        (COOP | KG, "KgCoOp", {"n_ctx": 4}),
        (COOP | META | MANY, "TCP", {"n_ctx": 4, "hidden": 2, "class_vectors": 4}),
        (COOP | {"ctx": (2, 16)} | META | MANY, "TCP", {"n_ctx": 2, "class_vectors": 4}),
        (MAPLE, "MaPLe", {"n_ctx_vision": 4, "text_prompt_depth": 1, "num_classes": 5}),
        (MAPLE | DEEP, "MaPLe", {"text_prompt_depth": 2, "image_prompt_depth": 2}),
        (MAPLE | ADAPTERS | {"model_distill.x": (1,)}, "CoPrompt", {"n_ctx": 4}),
        (IVLP, "IVLP", {"image_prompt_depth": 0, "text_prompt_depth": 1}),
        (IVLP | VPT, "IVLP", {"image_prompt_depth": 2, "n_ctx_vision": 3}),
        (IVLP | ZERO_SHOT, "PromptSRC", {"n_ctx": 4}),
        (ENCODER | VPT, "VPT", {"image_prompt_depth": 2, "text_prompt_depth": 1}),
        (ADAPTER, "CLIP-Adapter", {"hidden": 8, "embed_dim": 32}),
    ],
)
def test_recognised(
    shapes: dict[str, tuple[int, ...]], family: str, options: dict[str, object]
) -> None:
    found = recognise(shapes)
    assert found.family == family
    assert {key: found.options[key] for key in options} == options


@pytest.mark.parametrize(
    ("shapes", "error", "text"),
    [
        ({}, UnknownFamily, "keys found: none"),
        (COOP | dict.fromkeys(("a", "b", "c"), (1,)), UnknownFamily, "a, b, c"),
        ({f"prompt_learner.{key}": shape for key, shape in COOP.items()}, UnknownFamily, "prompt"),
        (COOP | {"ctx": (16,)}, ShapeMismatch, "M x W"),
        (COOP | {"ctx": (0, 16)}, ShapeMismatch, "M x W"),
        (COOP | {"ctx": (4, 8)}, ShapeMismatch, "5 x 1 x 8"),
        (COOP | {"token_suffix": (6, 72, 16)}, ShapeMismatch, "token_suffix"),
        (COOP | {"token_prefix": (5, 2, 16)}, ShapeMismatch, "token_prefix"),
        (COOP | {"token_prefix": ()}, ShapeMismatch, "scalar"),
        (COOP | {"ctx": (2, 4, 16)}, ShapeMismatch, "2 x 1"),
        ({"ctx": (5, 4, 16)}, AmbiguousFamily, "PLOT"),
        (COOP | META | {"ctx": (5, 4, 16)}, ShapeMismatch, "M x W"),
        (COOP | META | {"meta_net.linear2.weight": (64, 2)}, ShapeMismatch, "linear2.bias"),
        (COOP | META | MANY | {"meta_net.linear2.weight": (64, 3)}, ShapeMismatch, "64 x 2"),
        (COOP | META | {"meta_net.linear2.weight": (16, 3)}, ShapeMismatch, "linear2"),
        (COOP | META | {"meta_net.linear1.bias": (3,)}, ShapeMismatch, "linear1.bias"),
        (COOP | META | {"meta_net.linear2.weight": (15, 2)}, ShapeMismatch, "16 x 2"),
        (COOP | KG | {"meta_net.linear1.bias": (3,)}, ShapeMismatch, "linear1.bias"),
        (LEARNER | {"logit_scale": ()}, UnknownFamily, "logit_scale"),
        (MAPLE | {"prompt_learner.proj.bias": (16,)}, ShapeMismatch, "proj.bias"),
        (MAPLE | dict(list(DEEP.items())[:1]), ShapeMismatch, "1 projections"),
        (MAPLE | {"prompt_learner.compound_prompts_text.1": (4, 16)}, ShapeMismatch, "from 0"),
        (MAPLE | ADAPTERS | {"adapter_text.fc.2.weight": (8, 32)}, ShapeMismatch, "adapter_text"),
        (IVLP | {BLOCK.format(1): (3, 24)}, ShapeMismatch, "image_encoder.VPT"),
        (IVLP | VPT | {BLOCK.format(3): (3, 24)}, ShapeMismatch, "without a gap"),
        (ADAPTER | {"fc.2.weight": (32, 9)}, ShapeMismatch, "32 x 8"),
    ],
)
def test_refused(shapes: dict[str, tuple[int, ...]], error: type[ArtifactError], text: str) -> None:
    with pytest.raises(error) as caught:
        recognise(shapes)
    assert text in caught.value.detail
    assert caught.value.finding_id in REASONS


def test_a_wider_or_narrower_second_layer_decides_between_families() -> None:
    for out in (15, 16, 17, 32, 64):
        shapes = COOP | META | {"meta_net.linear2.weight": (out, 2)}
        claiming = {family.name for family in FAMILIES if family.claims(shapes)}
        assert claiming - {"CoOp"} == {"TCP" if out in (32, 64) else "CoCoOp"}


def test_a_key_of_no_family_is_named_and_one_of_another_is_no_guess() -> None:
    found = recognise(COOP | {"extra": (1,)})
    assert (found.family, found.unknown) == ("CoOp", ("extra",))
    with pytest.raises(UnknownFamily, match="linear1"):
        recognise(COOP | dict(list(META.items())[:1]))


def test_what_is_left_of_a_family_is_not_read_as_another() -> None:
    ln_final = "text_encoder.module.ln_final.weight"
    lasp = IVLP | {ln_final: (16,), "text_encoder.module.ln_final.bias": (16,)}
    assert recognise(lasp).family == "LASP"
    with pytest.raises(UnknownFamily):
        recognise({name: shape for name, shape in lasp.items() if name != ln_final})


@pytest.mark.parametrize("missing", "qkv")
def test_queries_keys_and_values_belong_together(missing: str) -> None:
    block = "text_model.encoder.layers.0.self_attn.{}_proj.{}"
    shapes = {
        "text_model.embeddings.token_embedding.weight": (50, 8),
        "visual_projection.weight": (4, 8),
        "text_projection.weight": (4, 8),
        **{block.format(letter, "weight"): (8, 8) for letter in "qkv"},
        **{block.format(letter, "bias"): (8,) for letter in "qkv"},
    }
    assert recognise(shapes).family == "CLIPModel"
    with pytest.raises(UnknownFamily, match=f"{missing}_proj.bias is missing"):
        recognise({n: s for n, s in shapes.items() if n != block.format(missing, "bias")})
    with pytest.raises(ShapeMismatch):
        recognise(shapes | {block.format(missing, "weight"): (8, 4)})


def test_names_are_those_of_manifests_and_unique() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert named(family.name) is family
        assert {family.name, *family.aliases} <= set(NAMES)
