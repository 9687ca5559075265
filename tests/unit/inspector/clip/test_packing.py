"""Several classes behind one head: the same text features, gradients and rows, from fewer tokens."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inspector.clip import packing
from inspector.clip import text as text_module
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier, MetaNet, Work
from inspector.clip.packing import can_pack, packs
from inspector.clip.prompts import lay_out
from inspector.manifest import Position
from inspector.run.flops import operations

NAMES = ["cat", "golden retriever", "a very long name of a class indeed", "dog", "two dogs"]
TOLERANCE = 1e-5


def make(backbone: Backbone, position: Position = "end", words: str = "X X X {}.") -> Classifier:
    torch.manual_seed(3)
    layout = lay_out(backbone, NAMES, words, 3, position)
    net = MetaNet(backbone.embed_dim, 3, 64)
    return Classifier(backbone, NAMES, layout, torch.randn(3, 64) * 0.1, net)


def one_by_one(classifier: Classifier, features: torch.Tensor) -> torch.Tensor:
    """Every prompt encoded on its own, as the original code does."""
    assert classifier.meta_net is not None
    context = classifier.context + classifier.meta_net(features)[:, None, None]
    embedded, end = classifier.layout.fill(context)
    text = classifier.backbone.text.encode(embedded, end)
    return text.view(len(features), len(NAMES), -1)


def some_features(backbone: Backbone, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, backbone.embed_dim, generator=generator).requires_grad_()


@pytest.mark.parametrize("words", ["X X X {}.", "X X X photo {}, indeed."])
@pytest.mark.parametrize("tokens", [5, 40, 1000])
def test_features_and_gradients_are_those_of_single_prompts(
    tokens: int, words: str, vit: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "TOKENS_PER_PACK", tokens)
    classifier, features = make(vit, words=words), some_features(vit, 3)
    packed, expected = classifier.text_features(features), one_by_one(classifier, features)
    assert (packed - expected).abs().max() <= TOLERANCE
    weights = torch.randn(packed.shape)
    slopes = [
        torch.autograd.grad((text * weights).sum(), features)[0] for text in (packed, expected)
    ]
    assert slopes[1].abs().max() > 1e-3
    assert (slopes[0] - slopes[1]).abs().max() <= 10 * TOLERANCE


def test_some_classes_in_another_order(vit: Backbone) -> None:
    classifier, features = make(vit), some_features(vit, 2)
    chosen = torch.tensor([4, 2, 2])
    text = classifier.text_features(features, chosen)
    assert (text - one_by_one(classifier, features)[:, chosen]).abs().max() <= TOLERANCE


def test_bounded_memory_changes_nothing(vit: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, features = make(vit), some_features(vit, 7)
    whole = classifier.text_features(features)
    monkeypatch.setattr(text_module, "TOKENS_PER_PART", 1)
    assert (whole - classifier.text_features(features)).abs().max() <= TOLERANCE


def test_classes_do_not_see_one_another(vit: Backbone) -> None:
    classifier, features = make(vit), some_features(vit, 1)
    before = classifier.text_features(features)
    with torch.no_grad():
        classifier.layout.base[0, 4:] += torch.randn(classifier.layout.base[0, 4:].shape)
    del classifier.packs
    after = classifier.text_features(features)
    assert (after[:, 0] - before[:, 0]).abs().max() > 0.01
    assert (after[:, 1:] - before[:, 1:]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("position", ["front", "middle"])
def test_prompts_that_begin_differently_are_encoded_one_by_one(
    position: Position, vit: Backbone
) -> None:
    classifier, features = make(vit, position), some_features(vit, 2)
    assert not can_pack(classifier.layout) and classifier.packs == []
    assert torch.equal(classifier.text_features(features), one_by_one(classifier, features))


def test_a_pack_holds_as_many_classes_as_fit(
    vit: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = lay_out(vit, NAMES, "X X X {}.", 3)
    tails = (layout.end - 3).tolist()
    assert len(set(tails)) > 2  # Names of several lengths, none of them padded.
    monkeypatch.setattr(packing, "TOKENS_PER_PACK", 4 + sum(tails[:2]))
    first, *others = packs(layout)
    assert first.end.tolist() == [3 + tails[0], 3 + sum(tails[:2])]
    assert sum(len(one.positions) - 4 for one in others) == sum(tails[2:])
    assert all(len(one.end) == 1 or len(one.positions) <= 4 + sum(tails[:2]) for one in others)


def test_operations_are_those_of_tokens_and_images(vit: Backbone) -> None:
    classifier = make(vit)
    features = some_features(vit, 2).detach()
    classifier.requires_grad_(False)
    classifier.text_features(features)
    tails = int((classifier.layout.end - 3).sum())
    work = Work(text_forward=2 * len(NAMES), text_tokens=2 * (4 + tails))
    assert classifier.work == work
    alone = make(vit, "front")
    alone.text_features(features)
    assert alone.work.text_tokens == 2 * 2 * len(NAMES) * alone.layout.length  # And backwards.
    with FlopCounterMode(display=False) as counter:
        classifier.text_features(features.clone().requires_grad_())
    assert operations(classifier, work) == pytest.approx(counter.get_total_flops(), rel=0.05)
    image = operations(classifier, Work(image_forward=1))
    assert image > 0
    assert operations(classifier, Work(2, 1, 7, 7, 1000)) == 3 * image + operations(
        classifier, Work(text_tokens=1000)
    )
