"""The search for one target, on a tiny random backbone."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection import objectives
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.objectives import PromptMargin, margins, own_margins

NAMES = ["red circle", "blue star", "green square", "tall ship"]


@pytest.fixture
def learner(vit: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    classifier = new_learner(vit, NAMES, conditioned=True, generator=generator)
    return classifier.requires_grad_(False)


@pytest.fixture
def pixels(vit: Backbone) -> torch.Tensor:
    size = vit.image_size
    return torch.rand(12, 3, size, size, generator=torch.Generator().manual_seed(4))


def test_margins_are_against_the_strongest_rival() -> None:
    logits = torch.tensor([[1.0, 5.0, 3.0], [4.0, 0.0, 1.0]])
    assert margins(logits, 1).tolist() == [2.0, -4.0]
    assert margins(logits[:, :1], 0).tolist() == [1.0, 4.0]


def test_two_prompts_give_the_gradient_of_all(learner: Classifier, pixels: torch.Tensor) -> None:
    delta = torch.zeros_like(pixels[0], requires_grad=True)
    seen = learner.image_features(pixels + delta)
    short = own_margins(learner, seen, 2).mean()
    whole = margins(learner.logits_from_features(seen), 2).mean()
    (first,) = torch.autograd.grad(short, delta, retain_graph=True)
    (second,) = torch.autograd.grad(whole, delta)
    assert short.item() == pytest.approx(whole.item(), abs=1e-4)
    assert (first - second).abs().max() <= 1e-4 * second.abs().max()


def test_crossed_margins_are_those_of_all_pairs(learner: Classifier, pixels: torch.Tensor) -> None:
    probes = PromptMargin.prepare(learner, pixels[:5])
    seen = learner.image_features(pixels[5:])
    pairs = [
        margins(learner.logits_from_features(anchor[None], condition=read[None]), 2)
        for anchor in probes.anchors.features
        for read in seen
    ]
    assert float(probes.margin(seen, 2)) == pytest.approx(float(torch.cat(pairs).mean()), abs=1e-4)


def test_rivals_are_the_classes_that_anchors_are_nearest_to(
    learner: Classifier, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "RIVALS", 1)
    probes = PromptMargin.prepare(learner, pixels[:5])
    likely = learner(pixels[:5]).softmax(1).mean(0)
    assert probes.anchors.nearest.tolist() == likely.argsort(descending=True).tolist()
    target = int(probes.anchors.nearest[0])
    seen = learner.image_features(pixels[5:])
    pair = torch.tensor([target, int(probes.anchors.nearest[1])])
    logits = learner.crossed_logits(probes.anchors.features, learner.text_features(seen, pair))
    expected = float((logits[..., 0] - logits[..., 1]).mean())
    assert float(probes.margin(seen, target)) == pytest.approx(expected, abs=1e-4)


def test_a_search_passes_over_the_pictures_as_often_as_it_is_told(
    learner: Classifier, pixels: torch.Tensor
) -> None:
    config = SearchConfig(0.05, epochs=2, batch=3, objective="prompt")
    probes = prepare(learner, pixels, "prompt")
    before = learner.work.image_backward
    invert(probes, 1, config, torch.Generator().manual_seed(1))
    assert learner.work.image_backward - before == 2 * len(pixels)


def test_the_trigger_stays_in_its_ball_helps_and_repeats(
    learner: Classifier, pixels: torch.Tensor
) -> None:
    config = SearchConfig(epsilon=0.05, epochs=3, batch=6)
    probes = prepare(learner, pixels, config.objective)
    found = [invert(probes, 1, config, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert found[0].abs().max() <= 0.05
    with torch.no_grad():
        before = margins(learner(pixels), 1).mean()
        after = margins(learner((pixels + found[0]).clamp(0, 1)), 1).mean()
    assert after > before
