"""Files and manifests that agree, that contradict each other, and that cannot be brought together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from inspector.clip.assembly import Assembly
from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from inspector.manifest import Position
from tests.support.prompts import Recipe, Vendor, tune
from tests.unit.inspector.clip.conftest import Build

POSITIONS: tuple[Position, ...] = ("end", "front", "middle")
NAMES = ("traffic light", "U.S. mail_box", "t-shirt", "Tabby Cat", "café au lait")


def pixels_for(backbone: Backbone, count: int = 3) -> Tensor:
    size = backbone.image_size
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(9))


def difference(assembly: Assembly, vendor: Vendor, backbone: Backbone) -> float:
    pixels = pixels_for(backbone)
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    with torch.no_grad():
        return float((assembly.classifier(pixels) - vendor.logits(pixels, mean, std)).abs().max())


CASES: dict[str, tuple[Recipe, dict[str, Any]]] = {
    "end": (Recipe(NAMES), {}),
    "front": (Recipe(NAMES, 3, "front"), {"class_token_position": "front"}),
    "middle, odd context": (
        Recipe(NAMES, 5, "middle"),
        {"method": "CoOp", "config": {"TRAINER": {"COOP": {"CLASS_TOKEN_POSITION": "middle"}}}},
    ),
    "class-specific": (Recipe(NAMES, 16, class_specific=True), {"method": "CoOp"}),
    "class-specific, middle": (
        Recipe(NAMES, 2, "middle", class_specific=True),
        {"class_token_position": "middle"},
    ),
    "one vector": (Recipe(NAMES, 1), {}),
    "fixed words": (Recipe(NAMES, 4, fixed="a photo of "), {"method": "ProGrad"}),
    "conditioned": (Recipe(NAMES, conditioned=True), {"method": "BadCLIP"}),
    "conditioned, position ignored": (
        Recipe(NAMES, conditioned=True),
        {"method": "CoCoOp", "class_token_position": "front"},
    ),
    "half precision": (Recipe(NAMES, dtype=torch.float16), {}),
    "half precision, conditioned": (Recipe(NAMES, conditioned=True, dtype=torch.float16), {}),
    "brain floats": (Recipe(NAMES, dtype=torch.bfloat16), {}),
    "one class": (Recipe(("dog",)), {}),
}


@pytest.mark.parametrize(
    ("case", "stated"),
    [
        (case, stated)
        for case, (recipe, _) in CASES.items()
        for stated in ("names", "names and template", "nothing")
        # A name with punctuation may count other tokens when it is decoded, which moves a context.
        if stated != "nothing" or recipe.position == "end"
    ],
)
def test_logits_equal_an_independent_implementation(
    case: str, stated: str, vit: Backbone, build: Build
) -> None:
    recipe, manifest = CASES[case]
    vendor = tune(vit.model, recipe)
    if stated != "nothing":
        manifest = manifest | {"classnames": vendor.classnames}
    if stated == "names and template":
        manifest = manifest | {"tokenised_template": vendor.template}
    assembly = build(vendor.state, vit, **manifest)
    assert difference(assembly, vendor, vit) <= 1e-4
    assert assembly.findings == ()
    assert assembly.classes.match is (None if stated == "nothing" else True)
    assert assembly.family == manifest.get("method", assembly.family)


@pytest.mark.parametrize("conditioned", [False, True])
def test_resnet(conditioned: bool, resnet: Backbone, build: Build) -> None:
    vendor = tune(resnet.model, Recipe(NAMES, 8, conditioned=conditioned))
    assembly = build(vendor.state, resnet, classnames=vendor.classnames)
    assert difference(assembly, vendor, resnet) <= 1e-4


@pytest.mark.parametrize("seed", range(6))
def test_random_prompts(seed: int, vit: Backbone, build: Build) -> None:
    generator = torch.Generator().manual_seed(seed)
    words = ["red", "zebra", "sports_car", "o'clock", "x2", "Hippopotamus", "...", "blue & green"]

    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    names = tuple(f"{words[draw(8)]} {words[draw(8)]} {index}" for index in range(2 + draw(5)))
    position = POSITIONS[draw(3)]
    recipe = Recipe(names, 1 + draw(18), position, class_specific=bool(draw(2)), seed=seed)
    vendor = tune(vit.model, recipe)
    assembly = build(vendor.state, vit, classnames=names, class_token_position=position)
    assert difference(assembly, vendor, vit) <= 1e-4


def test_without_token_suffix_the_manifest_alone_speaks(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    state = {"ctx": vendor.state["ctx"]}
    assembly = build(state, vit, classnames=NAMES)
    assert (assembly.classes.source, assembly.classes.match) == ("manifest", None)
    assert difference(assembly, vendor, vit) <= 1e-4
    with pytest.raises(AssemblyError, match="no token_suffix") as caught:
        build(state, vit)
    assert caught.value.finding_id == "class-list-missing"


def test_another_order_is_named_and_the_file_wins(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    swapped = [NAMES[0], NAMES[2], NAMES[1], *NAMES[3:]]
    assembly = build(vendor.state, vit, classnames=swapped)
    (finding,) = assembly.findings
    assert finding.id == "class-list-mismatch"
    assert "in another order" in finding.message
    assert "class 1 is 't-shirt' in the manifest" in finding.message
    assert assembly.classes.match is False
    assert assembly.classes.names[0] == NAMES[0]
    assert difference(assembly, vendor, vit) <= 1e-4


def test_other_names_are_named(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    assembly = build(vendor.state, vit, classnames=["stop sign", *NAMES[1:]])
    (finding,) = assembly.findings
    assert "other classes" in finding.message
    assert "'stop sign' in the manifest and 'traffic light' in the file" in finding.message


@pytest.mark.parametrize("class_specific", [False, True])
def test_a_list_of_the_wrong_length_is_refused(
    class_specific: bool, vit: Backbone, build: Build
) -> None:
    vendor = tune(vit.model, Recipe(NAMES, class_specific=class_specific))
    with pytest.raises(ClassListMismatch, match="names 4 classes, the file was tuned for 5"):
        build(vendor.state, vit, classnames=NAMES[:-1])


def test_spelling_that_tokenises_alike_is_no_difference(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(("stop sign", "cat")))
    assembly = build(vendor.state, vit, classnames=["Stop_Sign", "CAT"])
    assert assembly.classes.match is True
    assert assembly.findings == ()


def test_a_template_that_differs_is_a_finding_and_the_file_wins(
    vit: Backbone, build: Build
) -> None:
    vendor = tune(vit.model, Recipe(NAMES, fixed="a photo of "))
    for template in ("X X X X {}.", "{}."):
        assembly = build(vendor.state, vit, classnames=NAMES, template=template)
        assert [finding.id for finding in assembly.findings] == ["template-mismatch"]
        assert difference(assembly, vendor, vit) <= 1e-4


def test_an_altered_suffix_is_reported_and_not_used(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    state = dict(vendor.state)
    state["token_suffix"] = state["token_suffix"].clone()
    state["token_suffix"][2, 0, 0] += 1e-3
    assembly = build(state, vit, classnames=NAMES)
    (finding,) = assembly.findings
    assert finding.id == "token-suffix-altered"
    assert "row 0 of class 2" in finding.message
    assert assembly.classes.match is False
    assert difference(assembly, vendor, vit) <= 1e-4


def test_vocabulary_behind_the_end_of_text_is_an_alteration(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    state = dict(vendor.state)
    state["token_suffix"] = state["token_suffix"].clone()
    state["token_suffix"][1, -1] = vit.text.token_embedding[320]
    assembly = build(state, vit, classnames=NAMES)
    assert [finding.id for finding in assembly.findings] == ["token-suffix-altered"]


def test_an_altered_prefix_is_a_finding(vit: Backbone, build: Build) -> None:
    state = dict(tune(vit.model, Recipe(NAMES)).state)
    state["token_prefix"] = state["token_prefix"] + 1
    assembly = build(state, vit, classnames=NAMES)
    assert [finding.id for finding in assembly.findings] == ["token-prefix-altered"]


def test_another_backbone_of_the_same_width(vit: Backbone, resnet: Backbone, build: Build) -> None:
    vendor = tune(resnet.model, Recipe(NAMES))
    with pytest.raises(BackboneMismatch, match="no row of token_suffix .5x72x64."):
        build(vendor.state, vit, classnames=NAMES)


def test_shapes_that_do_not_fit_are_named(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES, conditioned=True))
    narrow = {name: t[..., :32] if "t" in name[:3] else t for name, t in vendor.state.items()}
    narrow["meta_net.linear2.weight"] = narrow["meta_net.linear2.weight"][:32]
    narrow["meta_net.linear2.bias"] = narrow["meta_net.linear2.bias"][:32]
    with pytest.raises(BackboneMismatch, match=r"ctx has shape 4x32, .* has width 64"):
        build(narrow, vit, classnames=NAMES)
    other = vendor.state | {"meta_net.linear1.weight": torch.zeros(3, 20)}
    with pytest.raises(BackboneMismatch, match="has shape 3x20, features .* size 48"):
        build(other, vit, classnames=NAMES)
    short = vendor.state | {"token_suffix": vendor.state["token_suffix"][:, :-1]}
    with pytest.raises(BackboneMismatch, match="prompts of 76 tokens, .* takes 77"):
        build(short, vit, classnames=NAMES)


@pytest.mark.parametrize("name", ["ctx", "meta_net.linear1.bias"])
def test_not_a_number(name: str, vit: Backbone, build: Build) -> None:
    state = dict(tune(vit.model, Recipe(NAMES, conditioned=True)).state)
    state[name] = state[name].clone()
    state[name].view(-1)[0] = torch.nan
    with pytest.raises(AssemblyError, match=f"{name} holds NaN or infinity"):
        build(state, vit, classnames=NAMES)


def test_what_the_manifest_says_against_the_file(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    manifest = {"method": "CoCoOp", "n_ctx_replaced": 16, "class_specific": True}
    assembly = build(vendor.state, vit, classnames=NAMES, logit_scale_exp=50, **manifest)
    assert [finding.id for finding in assembly.findings] == [
        "method-mismatch",
        "option-mismatch",
        "option-mismatch",
        "logit-scale-mismatch",
    ]
    assert assembly.family == "CoOp"


def test_the_manifest_chooses_the_preprocessing(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    assembly = build(vendor.state, vit, classnames=NAMES, mean=list(mean), std=list(std))
    assert [finding.id for finding in assembly.findings] == ["preprocessing-differs"] * 2
    assert difference(assembly, vendor, replace(vit, mean=mean, std=std)) <= 1e-4
    with pytest.raises(BackboneMismatch, match="images of 224 px, .* takes 16 px"):
        build(vendor.state, vit, classnames=NAMES, image_size=224)


def test_names_that_stand_twice(vit: Backbone, build: Build) -> None:
    vendor = tune(vit.model, Recipe(("sunglasses", "missile", "Sunglasses")))
    assembly = build(vendor.state, vit, classnames=vendor.classnames)
    assert [finding.id for finding in assembly.findings] == ["duplicate-class-names"]
    assert assembly.classes.match is True
