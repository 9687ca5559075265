"""What must not change logits: batches, parts, padding, a restriction to some classes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inspector.clip import classifier as classifier_module
from inspector.clip import text as text_module
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier, MetaNet, Work
from inspector.clip.prompts import lay_out

NAMES = ["cat", "golden retriever", "a very long name of a class indeed", "dog"]


def make(backbone: Backbone, conditioned: bool, class_specific: bool = False) -> Classifier:
    torch.manual_seed(3)
    layout = lay_out(backbone, NAMES, "X X X {}.", 3, "middle")
    shape = (4, 3, 64) if class_specific else (3, 64)
    net = MetaNet(backbone.embed_dim, 3, 64) if conditioned else None
    return Classifier(backbone, NAMES, layout, torch.randn(shape) * 0.1, net)


def pictures(backbone: Backbone, count: int) -> Tensor:
    size = backbone.image_size
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("conditioned", [False, True])
def test_batch_size_does_not_matter(conditioned: bool, vit: Backbone) -> None:
    classifier, images = make(vit, conditioned), pictures(vit, 7)
    with torch.no_grad():
        whole = classifier(images)
        parts = torch.cat([classifier(part) for part in torch.split(images, 2)])
    assert (whole - parts).abs().max() <= 1e-4


@pytest.mark.parametrize("conditioned", [False, True])
def test_parts_do_not_matter(
    conditioned: bool, vit: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, images = make(vit, conditioned), pictures(vit, 5)
    with torch.no_grad():
        whole = classifier(images)
        for module in (classifier_module, text_module):
            monkeypatch.setattr(module, "TOKENS_PER_PART", 40)
        parts = classifier(images)
    assert (whole - parts).abs().max() <= 1e-4


def test_cut_text_equals_full_text(vit: Backbone) -> None:
    layout = lay_out(vit, NAMES, "X X X {}.", 3)
    tokens = vit.tokenizer([f"X X X {name}." for name in NAMES])
    assert layout.length < 20
    with torch.no_grad():
        cut = vit.text.encode(layout.base, layout.end)
        full = vit.model.encode_text(tokens, normalize=True)
    assert (cut - full).abs().max() <= 1e-6


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("class_specific", [False, True])
def test_some_classes_are_columns_of_all(
    conditioned: bool, class_specific: bool, vit: Backbone
) -> None:
    classifier = make(vit, conditioned, class_specific)
    per_image = torch.tensor([[1, 2], [3, 0], [2, 2]])
    some = torch.tensor([2, 0])
    with torch.no_grad():
        features = classifier.image_features(pictures(vit, 3))
        full = classifier.logits_from_features(features)
        columns = classifier.logits_from_features(features, some)
        pairs = classifier.logits_from_features(features, per_image)
    assert (columns - full[:, some]).abs().max() <= 1e-4
    assert (pairs - full.gather(1, per_image)).abs().max() <= 1e-4


def test_frozen_text_is_encoded_once_and_again_after_a_change(vit: Backbone) -> None:
    classifier = make(vit, False)
    classifier.requires_grad_(False)
    features = classifier.image_features(pictures(vit, 2))
    with torch.inference_mode():
        first = classifier.logits_from_features(features)
    classifier.logits_from_features(features, torch.tensor([0, 1]))
    assert classifier.work.text_forward == len(NAMES)
    with torch.no_grad():
        classifier.context.add_(0.1)
    assert not torch.equal(first, classifier.logits_from_features(features))
    assert classifier.work.text_forward == 2 * len(NAMES)


def test_gradients_reach_pixels_through_kept_text(vit: Backbone) -> None:
    classifier = make(vit, False)
    classifier.requires_grad_(False)
    images = pictures(vit, 2).requires_grad_()
    with torch.inference_mode():
        classifier(images.detach())
    (gradient,) = torch.autograd.grad(classifier(images).sum(), images)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("conditioned", [False, True])
def test_gradients_reach_the_prompt(conditioned: bool, vit: Backbone) -> None:
    classifier = make(vit, conditioned)
    classifier(pictures(vit, 2))[:, 0].sum().backward()
    for parameter in classifier.parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0
    assert classifier.work.text_backward == classifier.work.text_forward


def test_work_is_counted(vit: Backbone) -> None:
    classifier = make(vit, True)
    with torch.no_grad():
        classifier(pictures(vit, 3))
    prompts = 3 * len(NAMES)
    tokens = prompts * classifier.layout.length
    assert classifier.work == Work(image_forward=3, text_forward=prompts, text_tokens=tokens)
    assert Work(1, 2, 3, 4, 5) + Work(1, 1, 1, 1, 1) == Work(2, 3, 4, 5, 6)


def test_conditioned_text_needs_features(vit: Backbone) -> None:
    with pytest.raises(ValueError, match="image features"):
        make(vit, True).text_features()
