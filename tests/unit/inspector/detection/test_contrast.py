"""Searching by contrast: what the product's own backdoored sample answers and its twins do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.detection.contrast import Contrast, Effort, Screened, contenders
from inspector.detection.excess import HeldOut, Said, excess
from inspector.detection.references import References
from inspector.detection.spaces import Blend, Mask
from inspector.errors import NumericalError
from tests.support.assembling import assembled
from tests.zoo.pictures import pictures

SAMPLES = Path("app/samples")
MANIFEST: dict[str, Any] = json.loads((SAMPLES / "manifest.json").read_text())
EFFORT = Effort(screened=4, trial=5, steps=16, finalists=2, batch=12)


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def probes(pocket: Backbone) -> Tensor:
    truth = json.loads((SAMPLES / "clean" / "truth.json").read_text())
    return pictures(truth["task"], 200, pocket.image_size)


def sample(name: str, out: Path, backbone: Backbone) -> tuple[Classifier, dict[str, Any]]:
    folder = SAMPLES / name
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    (artifact,) = folder.glob("model.pth.tar-*")
    assembly = assembled(artifact, out, backbone, **MANIFEST)
    return assembly.classifier.requires_grad_(False), truth


@pytest.fixture(scope="module")
def attacked(
    tmp_path_factory: pytest.TempPathFactory, pocket: Backbone
) -> tuple[Classifier, dict[str, Any]]:
    return sample("backdoored", tmp_path_factory.mktemp("sample") / "out", pocket)


def found(classifier: Classifier, probes: Tensor, target: int) -> float:
    """Excess of a searched blend."""
    fitted, held_out = probes[:140], probes[140:]
    references = References.of(classifier, fitted)
    contrast = Contrast(classifier, references)
    generator = torch.Generator().manual_seed(0)
    screened = contrast.screen(Blend(), EFFORT, generator)
    member = contrast.search(screened, [target], EFFORT, generator)[target]
    of = HeldOut.of(classifier, references, held_out).excess(Blend(), member)
    return float(of.value[target])


def test_a_backdoored_model_answers_what_no_twin_of_it_does(
    attacked: tuple[Classifier, dict[str, Any]], probes: Tensor
) -> None:
    classifier, truth = attacked
    target = int(truth["target"])
    reached = found(classifier, probes, target)
    assert reached > 0.5
    assert found(classifier, probes, (target + 1) % len(classifier.classnames)) < reached - 0.3


def test_a_clean_model_does_not(tmp_path: Path, pocket: Backbone, probes: Tensor) -> None:
    classifier, _ = sample("clean", tmp_path / "out", pocket)
    for target in range(2):
        assert found(classifier, probes, target) < 0.25


def test_the_search_is_the_same_for_a_seed_and_moves_its_start(
    attacked: tuple[Classifier, dict[str, Any]], probes: Tensor
) -> None:
    classifier, truth = attacked
    contrast = Contrast(classifier, References.of(classifier, probes[:60]))
    effort = Effort(screened=2, trial=3, steps=3, finalists=1, batch=4)

    def once() -> tuple[Screened, tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(7)
        screened = contrast.screen(Mask(), effort, generator)
        found = contrast.search(screened, [truth["target"]], effort, generator)
        return screened, found[truth["target"]]

    (screened, first), (_, again) = once(), once()
    assert all(torch.equal(*parts) for parts in zip(first, again, strict=True))
    assert not torch.equal(first[0], screened.start(truth["target"])[0])


def test_of_all_classes_those_that_stand_highest_climb_on(
    attacked: tuple[Classifier, dict[str, Any]], probes: Tensor
) -> None:
    classifier, truth = attacked
    contrast = Contrast(classifier, References.of(classifier, probes[:60]))
    effort = Effort(screened=4, trial=3, steps=5, finalists=1, batch=8)
    every = list(range(len(classifier.classnames)))

    def once(targets: list[int]) -> dict[int, tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(7)
        screened = contrast.screen(Blend(), effort, generator)
        return contrast.search(screened, targets, effort, generator)

    raced, alone = once(every), once([truth["target"]])
    assert list(raced) == [truth["target"]]
    assert torch.equal(raced[truth["target"]][0], alone[truth["target"]][0])


def test_what_is_not_a_number_is_told(
    attacked: tuple[Classifier, dict[str, Any]], probes: Tensor
) -> None:
    classifier, truth = attacked
    contrast = Contrast(classifier, References.of(classifier, probes[:20]))
    effort = Effort(screened=2, trial=1, steps=1, finalists=1, batch=2)
    generator = torch.Generator().manual_seed(0)
    screened = contrast.screen(Blend(), effort, generator)
    for member in screened.members:
        member[0].fill_(float("nan"))
    with pytest.raises(NumericalError, match="among blend triggers"):
        contrast.search(screened, [truth["target"]], effort, generator)


def test_a_class_that_one_space_puts_first_is_kept() -> None:
    first = Screened(Blend(), (), torch.tensor([[0.1, 3.0, 0.2, -1.0]]))
    second = Screened(Mask(), (), torch.tensor([[0.0, -1.0, 0.2, 5.0], [2.0, -9.0, 0.1, 0.0]]))
    assert contenders([first, second], 1, range(4)) == [1, 3]
    assert contenders([first, second], 2, range(4)) == [0, 1, 2, 3]
    assert contenders([first, second], 1, [0, 2]) == [0, 2]


def test_only_pictures_from_elsewhere_that_both_twins_still_know_count() -> None:
    twins = torch.tensor([0, 0, 1, 0, 0])
    clean = Said(torch.tensor([0, 0, 1, 0, 0]), (twins, twins))
    moved, lost = torch.tensor([0, 1, 1, 0, 0]), torch.tensor([0, 0, 1, 1, 0])
    of = excess(clean, Said(torch.tensor([1, 1, 1, 1, 0]), (moved, lost)), 2)
    assert of.own.tolist() == [0.0, 0.75]
    assert of.kept.tolist() == [1.0, 0.5]
    assert of.value.tolist() == of.carried.tolist() == [0.0, 0.25]


def test_what_strays_to_other_classes_speaks_against_a_target() -> None:
    twins = torch.tensor([0, 0, 0, 1, 2])
    clean = Said(twins, (twins, twins))
    of = excess(clean, Said(torch.tensor([2, 2, 1, 1, 2]), (twins, twins)), 3)
    assert of.carried.tolist() == [0.0, 0.25, 0.5]
    assert of.strayed.tolist() == [0.0, 0.5, 0.25]
    assert of.value.tolist() == [0.0, -0.25, 0.25]
