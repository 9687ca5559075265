"""PEFT's LoRA: the logits of PEFT itself, and of models merged by hand; refused is all the rest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.clip.assembly import Assembly
from inspector.clip.backbone import Backbone
from inspector.errors import ArtifactError, AssemblyError, BackboneMismatch
from tests.bench.peft_logits import NAMES, TEMPLATE
from tests.support.assembling import assembled, assert_columns, ids, pixels_of
from tests.support.layouts import State, hugging_face, openai
from tests.support.peft import FC1, OUT, PREFIX, Q, V, built, in_folder, pair, settings

DATA = Path(__file__).parent / "data" / "peft"
WORDS: dict[str, Any] = {"classnames": NAMES, "template": TEMPLATE}
PATCHES = "vision_model.embeddings.patch_embedding"
SIZES = {Q: (64, 64), V: (64, 64), FC1: (256, 64), OUT: (64, 64)}


@pytest.mark.parametrize("case", ["patterns", "dora", "copies"])
def test_logits_are_those_that_peft_gave(case: str, tmp_path: Path, vit: Backbone) -> None:
    """`data/peft` was made by `tests.bench.peft_logits fixtures` with the package itself."""
    assembly = built(*in_folder(DATA / case), tmp_path, vit, **WORDS)
    expected = load_file(DATA / case / "expected.safetensors")
    # PEFT's pictures were normalised as the backbone says.
    with torch.no_grad():
        assert (assembly.classifier(expected["pixels"]) - expected["logits"]).abs().max() <= 1e-4
        bare = vit.logit_scale * vit.image_features(expected["pixels"]) @ vit.zero_shot(NAMES).T
        assert (bare - expected["logits"]).abs().max() > 0.1
    assert assembly.family == "PEFT-LoRA"
    assert set(ids(assembly)) == {"encoder-tuned"}
    assert_columns(assembly.classifier, expected["pixels"])


def merged(vit: Backbone, changes: State, folder: Path) -> Assembly:
    """A whole CLIPModel with changed weights, read by the family that reads these."""
    state = hugging_face(openai(vit.model)) | changes
    path = folder / "model.safetensors"
    save_file({name: tensor.float().contiguous() for name, tensor in state.items()}, path)
    return assembled(path, folder / "out", vit, **WORDS)


def assert_same(vit: Backbone, own: Assembly, changes: State, folder: Path) -> None:
    images = pixels_of(vit)
    with torch.no_grad():
        wanted = merged(vit, changes, folder).classifier(images)
        assert (own.classifier(images) - wanted).abs().max() <= 1e-4


@pytest.mark.parametrize("is_stabilised", [False, True])
@pytest.mark.parametrize("prefix", [PREFIX, ""])
def test_weights_change_by_alpha_over_the_rank(
    is_stabilised: bool, prefix: str, tmp_path: Path, vit: Backbone
) -> None:
    tensors: State = {}
    changes: State = {}
    hf = hugging_face(openai(vit.model))
    for index, (module, shape) in enumerate(SIZES.items()):
        tensors |= pair(module, *shape, seed=index, prefix=prefix)
        down, up = (tensors[f"{prefix}{module}.lora_{half}.weight"] for half in "AB")
        scale = 6 / (math.sqrt(2) if is_stabilised else 2)
        changes[f"{module}.weight"] = hf[f"{module}.weight"].float() + scale * up @ down
    own = built(tensors, settings(use_rslora=is_stabilised), tmp_path, vit, **WORDS)
    assert_same(vit, own, changes, tmp_path)


def test_names_as_they_are_in_memory(tmp_path: Path, vit: Backbone) -> None:
    written = pair(Q, 64, 64)
    inside = {name.replace(".weight", ".default.weight"): t for name, t in written.items()}
    images = pixels_of(vit)
    with torch.no_grad():
        one, other = (
            built(tensors, settings(), tmp_path, vit, **WORDS).classifier(images)
            for tensors in (written, inside)
        )
    assert torch.equal(one, other)


def test_tensors_beside_the_matrices_take_the_place_of_the_backbones(
    tmp_path: Path, vit: Backbone
) -> None:
    """PEFT's loader writes them into the backbone, whatever the settings say of copies."""
    hf = hugging_face(openai(vit.model))
    others = ["visual_projection.weight", f"{Q}.bias", "text_model.final_layer_norm.bias"]
    changes = {name: hf[name].float() * 1.5 + 0.1 for name in others}
    changes["logit_scale"] = hf["logit_scale"].float() + 0.5
    down, up = pair(Q, 64, 64).values()
    written = {
        PREFIX + name.replace("q_proj.", "q_proj.base_layer."): changes[name] for name in changes
    }
    own = built(pair(Q, 64, 64) | written, settings(), tmp_path, vit, **WORDS)
    changes[f"{Q}.weight"] = hf[f"{Q}.weight"].float() + 3 * up @ down
    assert_same(vit, own, changes, tmp_path)
    assert set(ids(own)) == {"adapter-base", "encoder-tuned", "logit-scale-changed"}
    assert any("openai/clip-vit-base-patch16" in finding.message for finding in own.findings)


def test_biases_of_matrices_are_added_where_clip_has_a_bias_and_behind_projections(
    tmp_path: Path, vit: Backbone
) -> None:
    hf = hugging_face(openai(vit.model))
    sides = {"visual_projection": (48, 64), "text_projection": (48, 64), FC1: (256, 64)}
    tensors: State = {}
    shifts: State = {}
    for seed, (module, shape) in enumerate(sides.items()):
        tensors |= pair(module, *shape, seed=seed)
        shifts[module] = torch.linspace(-1, 1, shape[0]) * 0.1
        tensors[f"{PREFIX}{module}.lora_B.bias"] = shifts[module]
    config = settings(lora_bias=True, target_modules=list(sides))
    own = built(tensors, config, tmp_path, vit, **WORDS)
    changes = {
        f"{module}.weight": hf[f"{module}.weight"].float()
        + 3
        * tensors[f"{PREFIX}{module}.lora_B.weight"]
        @ tensors[f"{PREFIX}{module}.lora_A.weight"]
        for module in sides
    }
    changes[f"{FC1}.bias"] = hf[f"{FC1}.bias"].float() + 3 * shifts[FC1]
    images, prompts = pixels_of(vit), [TEMPLATE.replace("{}", name) for name in NAMES]
    whole = merged(vit, changes, tmp_path).classifier.backbone
    with torch.no_grad():
        image = whole.raw_image_features(images) + 3 * shifts["visual_projection"]
        text = whole.model.encode_text(whole.tokenizer(prompts)) + 3 * shifts["text_projection"]
        cosines = torch.nn.functional.cosine_similarity(image[:, None], text[None], dim=-1)
        assert (own.classifier(images) - whole.logit_scale * cosines).abs().max() <= 1e-4


def test_what_peft_writes_twice_of_a_copied_module(tmp_path: Path, vit: Backbone) -> None:
    """With `bias="all"`: the copy's bias under its wrapper's name, too, and the backbone's own."""
    name = f"{PREFIX}vision_model.post_layernorm"
    tensors = pair(Q, 64, 64) | {f"{name}.{part}": torch.ones(64) for part in ("weight", "bias")}
    twice = {f"{name}.modules_to_save{own}.bias": torch.ones(64) for own in ("", ".default")}
    unused = {f"{name}.original_module.bias": torch.zeros(64)}
    config = settings(modules_to_save=["post_layernorm"], bias="all")
    images = pixels_of(vit)
    with torch.no_grad():
        one, other = (
            built(own, config, tmp_path, vit, **WORDS).classifier(images)
            for own in (tensors, tensors | twice | unused)
        )
    assert torch.equal(one, other)


REFUSED: dict[str, tuple[State, dict[str, object], str]] = {
    "a module that the settings do not adapt": (
        {}, settings(target_modules=["fc2"]), "does not adapt vision_model.*would not load",
    ),
    "an expression that leaves it out": (
        {}, settings(target_modules=r"text_model.*"), "does not adapt",
    ),
    "an excluded module": ({}, settings(exclude_modules=["q_proj"]), "does not adapt"),
    "another layer": ({}, settings(layers_to_transform=[0]), "does not adapt"),
    "a copied module": ({}, settings(modules_to_save=["self_attn"]), "does not adapt"),
    "another rank": ({}, settings(r=3), "says rank 3 .* have 2"),
    "a rank of its own": ({}, settings(rank_pattern={"q_proj": 5}), "says rank 5"),
    "magnitudes that nobody reads": (
        {f"{PREFIX}{Q}.lora_magnitude_vector": torch.ones(64)}, settings(), "has a magnitude",
    ),
    "no magnitudes": ({}, settings(use_dora=True), "has no magnitude"),
    "no low-rank biases": ({}, settings(lora_bias=True), "has no shift"),
    "a bias of what has none": (
        {
            f"{PREFIX}{Q}.lora_B.bias": torch.ones(64),
            f"{PREFIX}{PATCHES}.lora_A.weight": torch.ones(2, 3, 8, 8),
            f"{PREFIX}{PATCHES}.lora_B.weight": torch.ones(64, 2, 1, 1),
            f"{PREFIX}{PATCHES}.lora_B.bias": torch.ones(64),
        },
        settings(lora_bias=True, target_modules=["patch_embedding", "q_proj"]), "has no bias",
    ),
    "the inside of a module that is not copied": (
        {f"{PREFIX}visual_projection.{part}weight": torch.ones(48, 64)
         for part in ("", "original_module.")}, settings(), "not what PEFT writes",
    ),
    "a second copy that differs": (
        {f"{PREFIX}visual_projection.{part}weight": torch.full((48, 64), value)
         for part, value in (("", 1.0), ("modules_to_save.", 2.0))},
        settings(modules_to_save=["visual_projection"]), "not what PEFT writes",
    ),
    "a weight of an adapted module under its bare name": (
        {f"{PREFIX}{Q}.weight": torch.ones(64, 64)}, settings(), "not what PEFT calls",
    ),
    "the inside of a module that is not adapted": (
        {f"{PREFIX}visual_projection.base_layer.weight": torch.ones(48, 64)}, settings(),
        "not what PEFT calls",
    ),
    "modules left to chance": ({}, settings(init_lora_weights=False), "take random ones"),
    "an expression that takes for ever": (
        {}, settings(target_modules="((.*)*)*" * 40 + "x"), "take too long|does not adapt",
    ),
    "NaN": ({f"{PREFIX}logit_scale": torch.tensor(math.nan)}, settings(), "NaN"),
    "an infinite change": (
        {f"{PREFIX}{Q}.lora_B.weight": torch.full((64, 2), 3e38)}, settings(lora_alpha=999), "NaN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_computed_is_refused(case: str, tmp_path: Path, vit: Backbone) -> None:
    more, config, message = REFUSED[case]
    with pytest.raises(AssemblyError, match=message):
        built(pair(Q, 64, 64) | more, config, tmp_path, vit, **WORDS)


NAMED: dict[str, tuple[State, str]] = {
    "one matrix alone": ({f"{PREFIX}{V}.lora_A.weight": torch.ones(2, 64)}, "both matrices"),
    "another model's": (pair("model.layers.0.self_attn.q_proj", 8, 8), "CLIPModel has no module"),
    "a norm": (pair("vision_model.post_layernorm", 64, 64), "CLIPModel has no module"),
    "a head": ({f"{PREFIX}classifier.weight": torch.ones(5, 64)}, "classifier.weight has no place"),
    "token deltas": (
        {f"{PREFIX}text_model.embeddings.token_embedding.token_adapter.trainable_tokens_delta":
         torch.ones(1, 64)}, "no place in CLIPModel",
    ),
    "a wrapper's inside": (
        {f"{PREFIX}visual_projection.original_module.weight": torch.ones(48, 64)}, "no place",
    ),
    "a base layer further up": (
        {f"{PREFIX}vision_model.base_layer.post_layernorm.weight": torch.ones(64)}, "no place",
    ),
    "two ways of prefixes": (pair(V, 64, 64, prefix=""), "only some names begin"),
    "two ways of adapters' names": (
        {f"{PREFIX}{V}.lora_{half}.default.weight": torch.ones(2, 2) for half in "AB"},
        "only some names hold",
    ),
    "ranks that differ": (
        {f"{PREFIX}{Q}.lora_B.weight": torch.ones(64, 3)}, "expected \\* x 2",
    ),
    "a linear layer as an embedding": (
        {f"{PREFIX}{V}.lora_embedding_A": torch.ones(2, 64),
         f"{PREFIX}{V}.lora_embedding_B": torch.ones(64, 2)}, "of another kind",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_names_that_do_not_belong_there(case: str, tmp_path: Path, vit: Backbone) -> None:
    more, message = NAMED[case]
    with pytest.raises(ArtifactError, match=message):
        built(pair(Q, 64, 64) | more, settings(), tmp_path, vit, **WORDS)


def test_without_its_settings(tmp_path: Path, vit: Backbone) -> None:
    path = tmp_path / "adapter_model.safetensors"
    save_file(pair(Q, 64, 64), path)
    with pytest.raises(AssertionError, match=r"without its adapter_config\.json.*whole folder"):
        assembled(path, tmp_path / "out", vit, **WORDS)


def test_another_backbone(tmp_path: Path, vit: Backbone, resnet: Backbone) -> None:
    with pytest.raises(BackboneMismatch, match="has no visual.transformer"):
        built(pair(Q, 64, 64), settings(), tmp_path, resnet, **WORDS)
    with pytest.raises(BackboneMismatch, match=r"shape \(32, 32\).* is 64 x 64"):
        built(pair(Q, 32, 32), settings(), tmp_path, vit, **WORDS)
    beyond = Q.replace("layers.1", "layers.7")
    with pytest.raises(BackboneMismatch, match="resblocks.7"):
        built(pair(beyond, 64, 64), settings(), tmp_path, vit, **WORDS)


def test_changes_out_of_proportion(tmp_path: Path, vit: Backbone) -> None:
    own = built(pair(Q, 64, 64), settings(lora_alpha=9999), tmp_path, vit, **WORDS)
    assert "low-rank-extreme" in ids(own)
