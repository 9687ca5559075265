"""LASP: one context, a shift of all text features, and layer norms of the image encoder."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from inspector.findings import Severity
from tests.support.assembling import assert_columns, ids, pixels_of
from tests.support.layouts import State, dassl, openai
from tests.support.vendors import (
    cosine_logits,
    encode_image,
    encode_text,
    normalised_pixels,
    prompted,
    random,
    token_ids,
)
from tests.unit.inspector.clip.conftest import Build

NAMES = ["traffic_light", "tall ship", "owl"]
TEMPLATE = "a photo of a {}."
SHIFT = "prompt_learner.w"


def with_tuned_norms(backbone: Backbone) -> Any:
    """A copy of the model with other layer norms in the image encoder's blocks."""
    model = copy.deepcopy(backbone.model)
    with torch.no_grad():
        for index, block in enumerate(model.visual.transformer.resblocks):
            for offset, norm in enumerate((block.ln_1, block.ln_2)):
                norm.weight += random(len(norm.weight), seed=2 * index + offset, scale=0.2)
                norm.bias += random(len(norm.bias), seed=50 + 2 * index + offset, scale=0.2)
    return model


def state_of(backbone: Backbone, model: Any, *, has_shift: bool, has_lasp: bool = True) -> State:
    """What the trainer saves: the whole model, its text encoder inside DataParallel."""
    width = backbone.text.width
    rows = backbone.model.token_embedding.weight.detach()[
        token_ids([TEMPLATE.replace("{}", name.replace("_", " ")) for name in NAMES])
    ]
    learner = {
        "ctx": random(4, width, seed=1, scale=0.1),
        "token_prefix": rows[:, :1],
        "token_suffix": rows[:, 5:],
    }
    if has_shift:
        learner["w"] = random(1, backbone.embed_dim, seed=2, scale=0.3)
    if has_lasp:
        learner["class_text_features"] = random(2, len(NAMES), backbone.embed_dim, seed=3)
        learner |= {"token_prefix_all": rows[:, :1], "token_suffix_all": rows[:, 5:]}
    own = {f"prompt_learner.{name}": tensor for name, tensor in learner.items()}
    return dassl(openai(model), "text_encoder.module.") | own


def expected(backbone: Backbone, model: Any, state: State, images: Tensor) -> Tensor:
    with torch.no_grad():
        inputs = normalised_pixels(images, backbone.mean, backbone.std)
        context = state["prompt_learner.ctx"]
        text = encode_text(model, *prompted(model, NAMES, TEMPLATE, context))
        return cosine_logits(model, encode_image(model, inputs), text + state.get(SHIFT, 0))


@pytest.mark.parametrize("has_shift", [True, False])
@pytest.mark.parametrize("is_tuned", [True, False])
def test_logits(build: Build, vit: Backbone, has_shift: bool, is_tuned: bool) -> None:
    model = with_tuned_norms(vit) if is_tuned else vit.model
    state = state_of(vit, model, has_shift=has_shift, has_lasp=has_shift)
    assembly = build(state, vit, classnames=NAMES, template=TEMPLATE)
    assert (assembly.family, assembly.classes.match) == ("LASP", True)
    assert [(f.id, f.severity) for f in assembly.findings] == (
        [("encoder-tuned", Severity.INFO)] if is_tuned else []
    )
    images = pixels_of(vit)
    with torch.no_grad():
        wanted = expected(vit, model, state, images)
        assert (assembly.classifier(images) - wanted).abs().max() <= 1e-4
        assert_columns(assembly.classifier, images)


def test_shift_and_norms_matter(vit: Backbone) -> None:
    images, model = pixels_of(vit), with_tuned_norms(vit)
    state = state_of(vit, model, has_shift=True)
    plain = {name: tensor for name, tensor in state.items() if name != SHIFT}
    whole = expected(vit, model, state, images)
    assert (whole - expected(vit, model, plain, images)).abs().max() > 1e-2
    assert (whole - expected(vit, vit.model, state, images)).abs().max() > 1e-2


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder.conv1.weight",
        "image_encoder.ln_pre.weight",
        "image_encoder.transformer.resblocks.1.mlp.c_fc.weight",
        "text_encoder.module.transformer.resblocks.0.ln_1.weight",
        "text_encoder.module.ln_final.bias",
    ],
)
def test_other_weights_are_none_that_the_method_tunes(
    build: Build, vit: Backbone, name: str
) -> None:
    state = state_of(vit, with_tuned_norms(vit), has_shift=True)
    state[name] = state[name] * 1.1 + 0.1
    findings = {f.id: f for f in build(state, vit, classnames=NAMES, template=TEMPLATE).findings}
    assert set(findings) == {"encoder-tuned", "encoder-changed"}
    assert findings["encoder-changed"].severity is Severity.HIGH
    assert (
        name.rpartition(".")[0].removeprefix("text_encoder.module.").removeprefix("image_encoder.")
        in findings["encoder-changed"].message
    )


def test_saved_in_half_precision(build: Build, vit: Backbone) -> None:
    state = state_of(vit, vit.model, has_shift=True)
    halved = {name: tensor.half() for name, tensor in state.items()}
    assert build(halved, vit, classnames=NAMES, template=TEMPLATE).findings == ()


def test_what_does_not_fit(build: Build, vit: Backbone) -> None:
    state = state_of(vit, vit.model, has_shift=True)
    with pytest.raises(BackboneMismatch, match="shift of text features has size 47"):
        build(state | {SHIFT: torch.zeros(1, 47)}, vit, classnames=NAMES)
    with pytest.raises(AssemblyError, match="shift of text features holds NaN"):
        build(state | {SHIFT: state[SHIFT] * float("nan")}, vit, classnames=NAMES)
    with pytest.raises(ClassListMismatch):
        build(state, vit, classnames=[*NAMES, "crow"])
    odd = {"text_encoder.module.transformer.resblocks.9.ln_1.bias": torch.zeros(64)}
    with pytest.raises(BackboneMismatch, match=r"resblocks\.9"):
        build(state | odd, vit, classnames=NAMES)


def test_a_resnet_counts_the_batches_it_saw(build: Build, resnet: Backbone) -> None:
    """Dassl trains whole models in training mode, where norms count."""
    state = state_of(resnet, resnet.model, has_shift=True)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert counters
    counted = {name: state[name] + 7 for name in counters}
    assembly = build(state | counted, resnet, classnames=NAMES, template=TEMPLATE)
    assert ids(assembly) == []
