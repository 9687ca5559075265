"""PLOT: several prompts for a class, moved onto all positions of a ResNet's feature map."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.matching import Matching
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from tests.support.assembling import assembled, assert_columns, ids, pixels_of
from tests.support.backbones import write_backbone
from tests.support.checkpoints import save_dassl_folder
from tests.support.vendors import normalised_pixels, plot_logits, random, token_ids, transported
from tests.unit.inspector.clip.conftest import Build

NAMES = ["traffic light", "tall ship", "owl"]
SETS, WORDS = 4, 3
TEMPLATE = "X " * WORDS + "{}."


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A ResNet whose attention pool sees three by three positions, and whose features differ.

    Fresh norms pass next to nothing on; these know the images' own statistics.
    """
    folder = tmp_path_factory.mktemp("backbone") / "rn"
    backbone = load_backbone(str(write_backbone(folder, "rn", 3, image_size=96)))
    visual = backbone.model.visual
    norms = [m for m in visual.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None
            norm.weight[norm.weight == 0] = 1
        visual.train()
        for seed in range(3):
            backbone.raw_image_features(pixels_of(backbone, 8, seed))
        visual.eval()
    return backbone


def state_of(backbone: Backbone, contexts: Tensor | None = None) -> dict[str, Tensor]:
    """What the trainer saves: N contexts, and the rows of all classes N times over."""
    if contexts is None:
        contexts = random(SETS, WORDS, backbone.text.width, seed=2, scale=0.3)
    ids = token_ids([TEMPLATE.replace("{}", name) for name in NAMES]).repeat(len(contexts), 1)
    rows = backbone.model.token_embedding.weight.detach()[ids]
    words = contexts.shape[1]
    return {"ctx": contexts, "token_prefix": rows[:, :1], "token_suffix": rows[:, 1 + words :]}


def expected(backbone: Backbone, images: Tensor, contexts: Tensor) -> tuple[Tensor, int]:
    inputs = normalised_pixels(images, backbone.mean, backbone.std)
    with torch.no_grad():
        return plot_logits(backbone.model, inputs, NAMES, contexts, TEMPLATE)


@pytest.mark.parametrize("sets", [1, 2, 4, 6])
def test_logits_are_those_of_the_transport(build: Build, wide: Backbone, sets: int) -> None:
    contexts = random(sets, WORDS, wide.text.width, seed=sets, scale=0.3)
    assembly = build(state_of(wide, contexts), wide, classnames=NAMES, template=TEMPLATE)
    assert (assembly.family, assembly.findings, assembly.classes.match) == ("PLOT", (), True)
    for count in (1, 5):
        images = pixels_of(wide, count)
        wanted, iterations = expected(wide, images, contexts)
        assert iterations < 10
        assert (wanted - wanted[:1]).abs().max() > 0.1 or count == 1
        with torch.no_grad():
            assert (assembly.classifier(images) - wanted).abs().max() <= 1e-4


@pytest.mark.parametrize("stop", [1e-2, 0.0])
def test_the_transport_stops_where_the_original_does(stop: float) -> None:
    """Of positions and prompts so alike that it stops before it has settled."""
    together = random(1, 1, 16, seed=1)
    image = functional.normalize(together + random(3, 49, 16, seed=2, scale=0.5), dim=-1)
    text = functional.normalize(together + random(4, 5, 16, seed=3, scale=0.5), dim=-1)
    wanted, iterations = transported(image, text, stop)
    matching = Matching(prompts_per_class=4, is_transported=True)
    found = matching.cosines(image, matching.gather(text.flatten(0, 1)))
    if stop:
        assert iterations < 10
        assert (100 * (found - wanted)).abs().max() <= 1e-4
    else:
        assert (100 * (found - wanted)).abs().max() > 1e-2


def test_names_are_decoded_and_the_stated_position_is_ignored(
    tmp_path: Path, wide: Backbone
) -> None:
    save_dassl_folder(tmp_path / "plot", state_of(wide))
    images = pixels_of(wide)
    wanted, _ = expected(wide, images, state_of(wide)["ctx"])
    assembly = assembled(tmp_path / "plot", tmp_path / "out", wide, class_token_position="front")
    assert list(assembly.classes.names) == NAMES
    with torch.no_grad():
        assert (assembly.classifier(images) - wanted).abs().max() <= 1e-4


def test_half_precision_contexts(build: Build, wide: Backbone) -> None:
    state = {name: tensor.half() for name, tensor in state_of(wide).items()}
    images = pixels_of(wide)
    wanted, _ = expected(wide, images, state["ctx"])
    assembly = build(state, wide)
    assert assembly.findings == ()
    with torch.no_grad():
        assert (assembly.classifier(images) - wanted).abs().max() <= 1e-4


def test_some_classes_are_columns_of_all(build: Build, wide: Backbone) -> None:
    assert_columns(build(state_of(wide), wide).classifier, pixels_of(wide))


def test_a_gradient_reaches_the_pixels(build: Build, wide: Backbone) -> None:
    classifier = build(state_of(wide), wide).classifier.requires_grad_(False)
    images = pixels_of(wide, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(images)[:, 0].sum(), images)
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.abs().max()) > 0


def test_what_does_not_fit(build: Build, wide: Backbone, vit: Backbone) -> None:
    with pytest.raises(BackboneMismatch, match="attention pool of a ResNet"):
        build(state_of(vit), vit)
    with pytest.raises(ClassListMismatch):
        build(state_of(wide), wide, classnames=NAMES[:2])
    spoilt = state_of(wide)
    spoilt["ctx"][0, 0, 0] = float("nan")
    with pytest.raises(AssemblyError, match="ctx holds NaN"):
        build(spoilt, wide)


def test_rows_that_do_not_repeat_the_classes_are_a_finding(build: Build, wide: Backbone) -> None:
    odd = state_of(wide)
    odd["token_suffix"] = odd["token_suffix"].roll(1, 0)
    odd["token_suffix"][:3] = state_of(wide)["token_suffix"][:3]
    assembly = build(odd, wide, classnames=NAMES)
    assert "token-suffix-altered" in ids(assembly)
    assert "do not repeat" in assembly.findings[0].message
    assert assembly.classes.match is False


def test_other_names_are_a_finding(build: Build, wide: Backbone) -> None:
    names = [*NAMES[:2], "crow"]
    assert "class-list-mismatch" in ids(build(state_of(wide), wide, classnames=names))


@pytest.mark.parametrize("is_missing", [False, True])
def test_without_usable_rows_the_manifest_speaks(
    build: Build, wide: Backbone, is_missing: bool
) -> None:
    state = state_of(wide)
    wanted, _ = expected(wide, pixels_of(wide), state["ctx"])
    if is_missing:
        del state["token_suffix"]
    else:
        state["token_suffix"] = state["token_suffix"] + 1e-3
    assembly = build(state, wide, classnames=NAMES, template=TEMPLATE)
    with pytest.raises(ClassListMismatch):
        build(state, wide, classnames=NAMES[:2], template=TEMPLATE)
    assert ids(assembly) == ([] if is_missing else ["token-suffix-altered"])
    with torch.no_grad():
        assert (assembly.classifier(pixels_of(wide)) - wanted).abs().max() <= 1e-4
