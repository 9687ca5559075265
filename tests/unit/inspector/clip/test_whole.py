"""Files that hold the encoders too: prompts inside them, adapters, and weights that were changed."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.delivered import Adapter, DeliveredEncoders
from inspector.errors import AssemblyError, BackboneMismatch
from tests.support.prompt_files import encoders
from tests.support.prompts import Recipe, tune
from tests.unit.inspector.clip.conftest import Build

NAMES = ("traffic light", "tall ship", "owl")
CONV = "image_encoder.conv1.weight"


def whole(backbone: Backbone, **learner: Tensor) -> dict[str, Tensor]:
    vendor = tune(backbone.model, Recipe(NAMES, 4))
    own = {f"prompt_learner.{name}": tensor for name, tensor in (vendor.state | learner).items()}
    return encoders(backbone) | own


def vectors(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(backbone: Backbone) -> Tensor:
    size = backbone.image_size
    return torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(9))


def visual_width(backbone: Backbone) -> int:
    return len(backbone.model.visual.class_embedding)


def test_without_prompts_inside_it_is_coop(build: Build, vit: Backbone) -> None:
    assembly = build(whole(vit), vit, classnames=NAMES)
    vendor = tune(vit.model, Recipe(NAMES, 4))
    mean, std = torch.tensor(vit.mean), torch.tensor(vit.std)
    with torch.no_grad():
        expected = vendor.logits(pixels(vit), mean, std)
        assert (assembly.classifier(pixels(vit)) - expected).abs().max() <= 1e-4
    assert (assembly.family, assembly.findings) == ("IVLP", ())


def test_every_prompt_matters_and_the_backbone_stays_as_it_was(build: Build, vit: Backbone) -> None:
    width, images = visual_width(vit), pixels(vit)
    block = "{}_encoder.transformer.resblocks.1.VPT_shallow"
    prompts = {
        "image_encoder.VPT": vectors(2, width),
        block.format("image"): vectors(2, width, seed=6),
        block.format("text"): vectors(4, vit.text.width, seed=7),
    }
    with torch.no_grad():
        before = vit.image_features(images)
        logits = []
        for count in range(len(prompts) + 1):
            some = dict(list(prompts.items())[:count])
            classifier = build(whole(vit) | some, vit, classnames=NAMES).classifier
            logits.append(classifier(images))
        assert torch.equal(vit.image_features(images), before)
    assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(logits))
    assert classifier.backbone.reference.model is vit.model


def test_prompts_are_rounded_to_half_as_in_the_original_code(build: Build, vit: Backbone) -> None:
    fine = vectors(2, visual_width(vit))
    state = whole(vit) | {"image_encoder.VPT": fine}
    encoders_of = build(state, vit, classnames=NAMES).classifier.backbone
    assert isinstance(encoders_of, DeliveredEncoders)
    assert encoders_of.visual_prompts is not None
    assert torch.equal(encoders_of.visual_prompts.tokens, fine.half().float())


def test_a_changed_encoder_is_a_finding_and_is_inspected(build: Build, vit: Backbone) -> None:
    state = whole(vit)
    state[CONV] = state[CONV] * 1.5
    assembly = build(state, vit, classnames=NAMES)
    (finding,) = assembly.findings
    assert finding.id == "encoder-changed"
    assert "visual.conv1.weight" in finding.message
    honest = build(whole(vit), vit, classnames=NAMES)
    with torch.no_grad():
        images = pixels(vit)
        assert not torch.allclose(assembly.classifier(images), honest.classifier(images), atol=1e-3)


def test_rounding_is_forgiven_where_the_method_averages(build: Build, vit: Backbone) -> None:
    state = whole(vit)
    state[CONV] = state[CONV] * (1 + 2**-10)
    assert [f.id for f in build(state, vit, classnames=NAMES).findings] == ["encoder-changed"]
    suffix = "prompt_learner.token_suffix"
    averaged = state | {
        "prompt_learner.ZS_image_encoder.conv1.weight": state[CONV],
        suffix: state[suffix] * (1 + 2**-10),
    }
    assembly = build(averaged, vit, classnames=NAMES)
    assert (assembly.family, assembly.findings) == ("PromptSRC", ())
    assert assembly.classes.match is True


def test_weights_saved_in_half_precision_are_not_changed_weights(
    build: Build, vit: Backbone
) -> None:
    state = {name: t.half() if "encoder" in name else t for name, t in whole(vit).items()}
    assert build(state, vit, classnames=NAMES).findings == ()


@pytest.mark.parametrize(
    ("name", "tensor", "text"),
    [
        (CONV, vectors(64, 3, 4, 4), "visual.conv1.weight has shape"),
        ("image_encoder.transformer.resblocks.7.ln_1.weight", vectors(64), "has no visual.tr"),
        ("image_encoder.VPT", vectors(2, 10), "width 10"),
        ("text_encoder.transformer.resblocks.1.VPT_shallow", vectors(4, 10), "width 10"),
    ],
)
def test_what_does_not_fit_the_backbone_is_named(
    build: Build, vit: Backbone, name: str, tensor: Tensor, text: str
) -> None:
    with pytest.raises(BackboneMismatch, match=text):
        build(whole(vit) | {name: tensor}, vit, classnames=NAMES)


def test_more_layers_of_prompts_than_blocks(build: Build, vit: Backbone) -> None:
    block = "text_encoder.transformer.resblocks.{}.VPT_shallow"
    deep = {block.format(i): vectors(4, vit.text.width) for i in (1, 2)}
    with pytest.raises(BackboneMismatch, match="before block 2, the text encoder has 2 blocks"):
        build(whole(vit) | deep, vit, classnames=NAMES)


def test_prompts_that_are_not_finite(build: Build, vit: Backbone) -> None:
    prompts = torch.full((2, visual_width(vit)), float("nan"))
    with pytest.raises(AssemblyError, match="image prompts holds NaN"):
        build(whole(vit) | {"image_encoder.VPT": prompts}, vit, classnames=NAMES)


def test_maple_projects_its_text_prompts_into_the_image_encoder(
    build: Build, vit: Backbone
) -> None:
    width, text = visual_width(vit), vit.text.width
    learner = {
        "proj.weight": vectors(width, text),
        "proj.bias": vectors(width, seed=6),
        "compound_prompts_text.0": vectors(4, text, seed=7),
        "compound_prompt_projections.0.weight": vectors(width, text, seed=8),
        "compound_prompt_projections.0.bias": vectors(width, seed=9),
    }
    state = whole(vit, **learner)
    assembly = build(state, vit, classnames=NAMES)
    encoders_of = assembly.classifier.backbone
    assert isinstance(encoders_of, DeliveredEncoders)
    assert assembly.family == "MaPLe"
    expected = state["prompt_learner.ctx"] @ learner["proj.weight"].T + learner["proj.bias"]
    assert encoders_of.visual_prompts is not None
    assert torch.allclose(encoders_of.visual_prompts.tokens, expected, rtol=1e-3, atol=1e-2)
    assert torch.equal(encoders_of.text_prompts[1], learner["compound_prompts_text.0"].half())


@pytest.mark.parametrize("ratio", [None, 0.6])
def test_an_adapter_mixes_into_raw_features(
    build: Build, vit: Backbone, ratio: float | None
) -> None:
    size, images = vit.embed_dim, pixels(vit)
    first, second = vectors(8, size), vectors(size, 8, seed=6)
    state = {"fc.0.weight": first, "fc.2.weight": second}
    assembly = build(state, vit, classnames=NAMES, adapter_ratio=ratio)
    share = ratio or 0.2
    with torch.no_grad():
        raw = vit.raw_image_features(images)
        mixed = share * torch.relu(torch.relu(raw @ first.T) @ second.T) + (1 - share) * raw
        image = torch.nn.functional.normalize(mixed, dim=-1)
        expected = vit.logit_scale * image @ vit.zero_shot(list(NAMES)).T
        assert (assembly.classifier(images) - expected).abs().max() <= 1e-4
    assert assembly.classes.match is None
    with pytest.raises(BackboneMismatch, match=r"fc\.0\.weight"):
        wrong = {"fc.0.weight": vectors(8, size + 1), "fc.2.weight": vectors(size + 1, 8)}
        build(wrong, vit, classnames=NAMES)


def tcp_state(backbone: Backbone) -> dict[str, Tensor]:
    """CoOp's tensors and a branch from text features to four vectors as wide as the context."""
    width = backbone.text.width
    return tune(backbone.model, Recipe(NAMES, 4)).state | {
        "meta_net.linear1.weight": vectors(6, backbone.embed_dim),
        "meta_net.linear1.bias": vectors(6, seed=6),
        "meta_net.linear2.weight": vectors(4 * width, 6, seed=7),
        "meta_net.linear2.bias": vectors(4 * width, seed=8),
    }


def test_tcp_puts_each_class_s_own_vectors_before_the_block(
    build: Build, vit: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, words = tcp_state(vit), "a photo of a {}, a pet."
    tcp = {"insert_before_text_block": 1, "class_branch_template": words}
    assembly = build(state, vit, classnames=NAMES, tcp=tcp)
    assert assembly.family == "TCP"
    encoders_of = assembly.classifier.backbone
    assert isinstance(encoders_of, DeliveredEncoders)
    with torch.no_grad():
        hidden = vit.zero_shot(list(NAMES), words) @ state["meta_net.linear1.weight"].T
        hidden = hidden + state["meta_net.linear1.bias"]
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        made = hidden @ state["meta_net.linear2.weight"].T + state["meta_net.linear2.bias"]
        assert set(encoders_of.text_prompts) == {1}
        placed = encoders_of.text_prompts[1]
        assert torch.allclose(placed, made.view(3, 4, -1), atol=1e-4)
        whole_batch = assembly.classifier(pixels(vit))
        monkeypatch.setattr("inspector.clip.text.TOKENS_PER_PART", 1)
        one_by_one = build(state, vit, classnames=NAMES, tcp=tcp).classifier(pixels(vit))
        assert (whole_batch - one_by_one).abs().max() <= 1e-4
    with pytest.raises(BackboneMismatch, match="before block 8"):
        build(state, vit, classnames=NAMES)


def test_coprompt_s_adapters_stand_behind_both_encoders(build: Build, vit: Backbone) -> None:
    size, width, text = vit.embed_dim, visual_width(vit), vit.text.width
    state = whole(
        vit, **{"proj.weight": vectors(width, text), "proj.bias": vectors(width, seed=6)}
    ) | {
        f"adapter_{side}.fc.{layer}.weight": vectors(*shape, seed=seed)
        for seed, (side, layer, shape) in enumerate(
            (side, layer, shape)
            for side in ("image", "text")
            for layer, shape in ((0, (8, size)), (2, (size, 8)))
        )
    }
    assembly = build(state, vit, classnames=NAMES)
    assert (assembly.family, assembly.findings) == ("CoPrompt", ())
    encoders_of = assembly.classifier.backbone
    assert isinstance(encoders_of, DeliveredEncoders)
    for side, adapter, share in (
        ("image", encoders_of.on_image, 0.1), ("text", encoders_of.on_text, 0.2)
    ):  # fmt: skip
        assert isinstance(adapter, Adapter)
        assert adapter.ratio == share
        assert torch.equal(adapter.first, state[f"adapter_{side}.fc.0.weight"])
        assert torch.equal(adapter.second, state[f"adapter_{side}.fc.2.weight"])


def test_visual_prompts_need_a_transformer(build: Build, resnet: Backbone) -> None:
    state = {
        "image_encoder.VPT": vectors(2, 8),
        CONV: resnet.model.visual.conv1.weight.detach().clone(),
    }
    with pytest.raises(BackboneMismatch, match="vision transformer"):
        build(state, resnet, classnames=NAMES)
