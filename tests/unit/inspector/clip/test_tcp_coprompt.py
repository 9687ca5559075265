"""TCP's and CoPrompt's logits: prompts before later blocks, adapters behind both encoders."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch
from tests.support.assembling import assert_columns, pixels_of
from tests.support.layouts import State, dassl, openai
from tests.support.vendors import (
    bottleneck,
    cosine_logits,
    encode_image,
    encode_text,
    encode_words,
    normalised_pixels,
    prompted,
    random,
    spoken,
    token_ids,
)
from tests.unit.inspector.clip.conftest import Build

NAMES = ["traffic_light", "tall ship", "owl"]
BRANCH = "a photo of a {}, a type of pet."
WORDS = "X X X X {}, a type of pet."
MADE = 4
"""Vectors that TCP's code makes of a class, whatever its context length."""


def rows_of(backbone: Backbone, template: str, count: int) -> dict[str, Tensor]:
    rows = backbone.model.token_embedding.weight.detach()[token_ids(spoken(template, NAMES))]
    return {"token_prefix": rows[:, :1], "token_suffix": rows[:, 1 + count :]}


def tcp_state(backbone: Backbone, count: int) -> State:
    width, size = backbone.text.width, backbone.embed_dim
    return {
        "ctx": random(count, width, seed=1, scale=0.1),
        **rows_of(backbone, WORDS, count),
        "meta_net.linear1.weight": random(12, size, seed=2),
        "meta_net.linear1.bias": random(12, seed=3),
        "meta_net.linear2.weight": random(MADE * width, 12, seed=4, scale=0.3),
        "meta_net.linear2.bias": random(MADE * width, seed=5, scale=0.1),
    }


def tcp_logits(backbone: Backbone, state: State, images: Tensor, block: int) -> Tensor:
    model = backbone.model
    with torch.no_grad():
        classes = functional.normalize(encode_words(model, spoken(BRANCH, NAMES)), dim=-1)
        hidden = functional.linear(
            classes, state["meta_net.linear1.weight"], state["meta_net.linear1.bias"]
        )
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        made = functional.linear(
            hidden, state["meta_net.linear2.weight"], state["meta_net.linear2.bias"]
        ).reshape(len(NAMES), -1, backbone.text.width)
        prompts = prompted(model, NAMES, WORDS, state["ctx"])
        text = encode_text(model, *prompts, {block: made})
        image = encode_image(model, normalised_pixels(images, backbone.mean, backbone.std))
        return cosine_logits(model, image, text)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("count", [4, 2])
def test_tcp(build: Build, vit: Backbone, block: int, count: int) -> None:
    state, images = tcp_state(vit, count), pixels_of(vit)
    tcp = {"insert_before_text_block": block, "class_branch_template": BRANCH}
    assembly = build(state, vit, classnames=NAMES, template=WORDS, tcp=tcp)
    assert (assembly.family, assembly.findings, assembly.classes.match) == ("TCP", (), True)
    wanted = tcp_logits(vit, state, images, block)
    assert (wanted - tcp_logits(vit, state, images, 1 - block)).abs().max() > 1e-2
    with torch.no_grad():
        assert (assembly.classifier(images) - wanted).abs().max() <= 1e-4
    assert_columns(assembly.classifier, images)


def test_tcp_of_another_backbone(build: Build, vit: Backbone) -> None:
    state = tcp_state(vit, 4)
    tcp = {"insert_before_text_block": 2}
    with pytest.raises(BackboneMismatch, match="before block 2"):
        build(state, vit, classnames=NAMES, template=WORDS, tcp=tcp)
    wide = {"meta_net.linear1.weight": random(12, vit.embed_dim + 1, seed=2)}
    with pytest.raises(BackboneMismatch, match=r"meta_net\.linear1\.weight has shape"):
        build(state | wide, vit, classnames=NAMES, template=WORDS)
    for name in ("meta_net.linear1.weight", "meta_net.linear2.bias"):
        spoilt = {name: state[name] / 0}
        with pytest.raises(AssemblyError, match=f"{name} holds NaN or infinity"):
            build(state | spoilt, vit, classnames=NAMES, template=WORDS)


def coprompt_state(backbone: Backbone, depth: int) -> State:
    width, size = backbone.text.width, backbone.embed_dim
    visual = len(backbone.model.visual.class_embedding)
    learner = {
        "ctx": random(2, width, seed=1, scale=0.1),
        **rows_of(backbone, "a photo of a {}.", 2),
        "proj.weight": random(visual, width, seed=2, scale=0.2),
        "proj.bias": random(visual, seed=3, scale=0.1),
    }
    for layer in range(depth - 1):
        projection = f"compound_prompt_projections.{layer}"
        learner[f"compound_prompts_text.{layer}"] = random(2, width, seed=4 + layer, scale=0.1)
        learner[f"{projection}.weight"] = random(visual, width, seed=20 + layer, scale=0.2)
        learner[f"{projection}.bias"] = random(visual, seed=40 + layer, scale=0.1)
    adapters = {
        f"adapter_{side}.fc.{layer}.weight": random(*shape, seed=60 + place, scale=0.3)
        for place, side in enumerate(("image", "text"))
        for layer, shape in ((0, (8, size)), (2, (size, 8)))
    }
    whole = openai(backbone.model)
    frozen = {f"model_distill.{name}": tensor for name, tensor in whole.items()}
    own = {f"prompt_learner.{name}": tensor for name, tensor in learner.items()}
    return dassl(whole) | own | adapters | frozen


def coprompt_logits(backbone: Backbone, state: State, images: Tensor) -> Tensor:
    model = backbone.model

    def projected(vectors: Tensor, name: str) -> Tensor:
        weight, bias = state[f"prompt_learner.{name}.weight"], state[f"prompt_learner.{name}.bias"]
        return functional.linear(vectors, weight, bias).half().float()

    texts, images_of = {}, {}
    layer = 0
    while (name := f"prompt_learner.compound_prompts_text.{layer}") in state:
        images_of[layer + 1] = projected(state[name], f"compound_prompt_projections.{layer}")
        texts[layer + 1] = state[name].half().float()
        layer += 1
    context = state["prompt_learner.ctx"]
    with torch.no_grad():
        inputs = normalised_pixels(images, backbone.mean, backbone.std)
        image = encode_image(model, inputs, projected(context, "proj"), images_of)
        text = encode_text(model, *prompted(model, NAMES, "a photo of a {}.", context), texts)
        return cosine_logits(
            model,
            bottleneck(state, "adapter_image.", image, 0.1),
            bottleneck(state, "adapter_text.", text, 0.2),
        )


@pytest.mark.parametrize("depth", [1, 2])
def test_coprompt(build: Build, vit: Backbone, depth: int) -> None:
    state, images = coprompt_state(vit, depth), pixels_of(vit)
    assembly = build(state, vit, classnames=NAMES, template="a photo of a {}.")
    assert (assembly.family, assembly.findings, assembly.classes.match) == ("CoPrompt", (), True)
    with torch.no_grad():
        difference = assembly.classifier(images) - coprompt_logits(vit, state, images)
    assert difference.abs().max() <= 1e-4
    assert_columns(assembly.classifier, images)


def test_coprompt_s_adapters_must_fit(build: Build, vit: Backbone) -> None:
    state, size = coprompt_state(vit, 2), vit.embed_dim + 1
    for side in ("image", "text"):
        wide = {
            f"adapter_{side}.fc.0.weight": random(8, size, seed=1),
            f"adapter_{side}.fc.2.weight": random(size, 8, seed=2),
        }
        with pytest.raises(BackboneMismatch, match=rf"adapter_{side}\.fc\.0\.weight takes"):
            build(state | wide, vit, classnames=NAMES)
    state["adapter_text.fc.0.weight"] = state["adapter_text.fc.0.weight"] * float("nan")
    with pytest.raises(AssemblyError, match=r"adapter_text\.fc holds NaN"):
        build(state, vit, classnames=NAMES)
