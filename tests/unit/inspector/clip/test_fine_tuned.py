"""Full fine-tuned CLIP in every layout, beside the backbone in every layout."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.errors import AssemblyError, BackboneMismatch
from inspector.findings import Severity
from tests.support.assembling import assembled, assert_columns, ids, pixels_of
from tests.support.backbones import write_backbone
from tests.support.layouts import State, custom_text, hugging_face, openai, tuned
from tests.support.vendors import (
    cosine_logits,
    encode_image,
    encode_words,
    image_positions,
    normalised_pixels,
    spoken,
)

NAMES = ["traffic_light", "tall ship", "owl"]
TEMPLATE = "a photo of a {}."
LAYOUTS: dict[str, Callable[[State], State]] = {
    "openai": dict,
    "custom text": custom_text,
    "hugging face": hugging_face,
}


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A backbone whose text tower lies one level down."""
    folder = tmp_path_factory.mktemp("backbone") / "custom"
    return load_backbone(str(write_backbone(folder, custom_text=True)))


def loaded(model: Any, state: State) -> Any:
    """A copy of the model with these weights, by OpenAI's names."""
    copied = copy.deepcopy(model)
    is_custom = hasattr(model, "text")
    copied.load_state_dict(custom_text(state) if is_custom else state)
    return copied


def expected(backbone: Backbone, state: State, images: Tensor) -> Tensor:
    model = loaded(backbone.model, state)
    inputs = normalised_pixels(images, backbone.mean, backbone.std)
    with torch.no_grad():
        is_resnet = hasattr(model.visual, "attnpool")
        image = image_positions(model, inputs)[:, 0] if is_resnet else encode_image(model, inputs)
        return cosine_logits(model, image, encode_words(model, spoken(TEMPLATE, NAMES)))


def saved(folder: Path, state: State, *, is_safetensors: bool = True) -> Path:
    if is_safetensors:
        path = folder / "model.safetensors"
        save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, path)
    else:
        path = folder / "epoch_3.pt"
        content = {
            "epoch": 3,
            "name": "run",
            "state_dict": {f"module.{n}": t for n, t in state.items()},
        }
        torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["vit", "custom"])
def test_logits_are_those_of_the_tuned_weights(
    layout: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backbone: Backbone = request.getfixturevalue(kind)
    state = tuned(openai(backbone.model))
    state["logit_scale"] = state["logit_scale"] + 0.1
    images = pixels_of(backbone)
    wanted = expected(backbone, state, images)
    assert (wanted - expected(backbone, openai(backbone.model), images)).abs().max() > 1
    for is_safetensors in (True, False):
        path = saved(tmp_path, LAYOUTS[layout](state), is_safetensors=is_safetensors)
        assembly = assembled(path, tmp_path / "out", backbone, classnames=NAMES, template=TEMPLATE)
        assert assembly.family == ("CLIPModel" if layout == "hugging face" else "CLIP")
        assert {f.id: f.severity for f in assembly.findings} == {
            "encoder-tuned": Severity.INFO, "logit-scale-changed": Severity.INFO
        }  # fmt: skip
        with torch.no_grad():
            assert (assembly.classifier(images) - wanted).abs().max() <= 1e-4
    assert_columns(assembly.classifier, images)
    with torch.no_grad():
        reference = assembly.classifier.backbone.reference
        assert torch.equal(reference.image_features(images), backbone.image_features(images))


@pytest.mark.parametrize("layout", ["openai", "custom text"])
def test_a_resnet(layout: str, tmp_path: Path, resnet: Backbone) -> None:
    state = tuned(openai(resnet.model))
    state["visual.bn1.num_batches_tracked"] = torch.tensor(12)
    path = saved(tmp_path, LAYOUTS[layout](state))
    assembly = assembled(path, tmp_path / "out", resnet, classnames=NAMES, template=TEMPLATE)
    images = pixels_of(resnet)
    with torch.no_grad():
        difference = assembly.classifier(images) - expected(resnet, state, images)
    assert difference.abs().max() <= 1e-4
    assert set(ids(assembly)) <= {"encoder-tuned", "logit-scale-changed"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_were_not_touched_are_no_finding(
    layout: str, dtype: torch.dtype, tmp_path: Path, vit: Backbone
) -> None:
    state = {name: tensor.to(dtype) for name, tensor in openai(vit.model).items()}
    sizes = {"input_resolution": 16, "context_length": 77, "vocab_size": 49408}
    own = LAYOUTS[layout](state)
    if layout == "hugging face":
        own["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        own["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    else:
        own |= {name: torch.tensor(size) for name, size in sizes.items()}
        own["attn_mask"] = torch.full((77, 77), float("-inf")).triu_(1)
    path = saved(tmp_path, own)
    assembly = assembled(path, tmp_path / "out", vit, classnames=NAMES)
    assert assembly.findings == ()
    images = pixels_of(vit)
    with torch.no_grad():
        assert torch.allclose(
            assembly.classifier(images), expected(vit, openai(vit.model), images), atol=1e-4
        )


def test_several_templates_are_averaged(tmp_path: Path, vit: Backbone) -> None:
    path = saved(tmp_path, tuned(openai(vit.model)))
    one, other = ["a photo of a {}."], ["a photo of a {}.", "art of the {}."]
    images = pixels_of(vit)
    with torch.no_grad():
        logits = [
            assembled(path, tmp_path / "out", vit, classnames=NAMES, templates=words).classifier(
                images
            )
            for words in (one, other)
        ]
    assert (logits[0] - expected(vit, tuned(openai(vit.model)), images)).abs().max() <= 1e-4
    assert (logits[0] - logits[1]).abs().max() > 1e-2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_does_not_fit(layout: str, tmp_path: Path, vit: Backbone, resnet: Backbone) -> None:
    state = tuned(openai(vit.model))

    def build(own: State, backbone: Backbone = vit, **manifest: object) -> None:
        path = saved(tmp_path, LAYOUTS[layout](own))
        assembled(path, tmp_path / "out", backbone, **({"classnames": NAMES} | manifest))

    with pytest.raises(BackboneMismatch):
        build(state, resnet)
    with pytest.raises(AssemblyError, match="no classnames") as caught:
        build(state, classnames=None)
    assert caught.value.finding_id == "class-list-missing"
    with pytest.raises(BackboneMismatch, match=r"visual\.conv1\.weight has shape"):
        build(state | {"visual.conv1.weight": torch.zeros(64, 3, 4, 4)})
    last = {n: t for n, t in state.items() if "resblocks.1." not in n}
    with pytest.raises(BackboneMismatch, match=r"the file lacks .*resblocks\.1"):
        build(last)
    fresh = {
        n.replace("resblocks.1.", "resblocks.2."): t
        for n, t in state.items()
        if "resblocks.1." in n
    }
    with pytest.raises(BackboneMismatch, match=r"resblocks\.2"):
        build(state | fresh)
    state["ln_final.bias"] = torch.full_like(state["ln_final.bias"], float("inf"))
    with pytest.raises(AssemblyError, match=r"ln_final\.bias holds NaN or infinity"):
        build(state)


def test_a_bias_of_all_logits_is_told_and_left_out(tmp_path: Path, vit: Backbone) -> None:
    """Open_clip's models for a sigmoid loss have one; a softmax does not see it."""
    state = openai(vit.model)
    images = pixels_of(vit)
    path = saved(tmp_path, state | {"logit_bias": torch.tensor([-10.0])})
    assembly = assembled(path, tmp_path / "out", vit, classnames=NAMES, template=TEMPLATE)
    assert {f.id: f.severity for f in assembly.findings} == {"logit-bias-left-out": Severity.INFO}
    with torch.no_grad():
        assert (assembly.classifier(images) - expected(vit, state, images)).abs().max() <= 1e-4


def test_a_factor_beyond_all_numbers(tmp_path: Path, vit: Backbone) -> None:
    path = saved(tmp_path, openai(vit.model) | {"logit_scale": torch.tensor(4e4)})
    with pytest.raises(AssemblyError, match="infinite"):
        assembled(path, tmp_path / "out", vit, classnames=NAMES, template=TEMPLATE)
