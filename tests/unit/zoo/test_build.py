"""Models of every kind, tuned for a few steps only: what their truth says and what is saved.

Whether an attack takes needs the full effort and is measured by the bench, not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.prompt_tuning import new_learner
from tests.zoo import build as zoo
from tests.zoo import families
from tests.zoo.adaptive import QUIET, norms
from tests.zoo.build import Built, Effort, Plan, build, save
from tests.zoo.kinds import ATTACKS, CONTROLS, FAMILIES, KINDS, SCRAMBLED

TASK, SEED = "counts3", 1
DRAWN = {
    "clean": (3, 26), "badclip": (2, 10), "blended": (0, 3), "wanet": (3, 25), "siba": (0, 95),
}  # fmt: skip
"""Target of things6:601 and the first of a hundred shuffled rows, before there were further kinds."""


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module", autouse=True)
def little_effort() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "USUAL", Effort(8, 8))
        patch.setattr(zoo, "EFFORTS", {"overtrained": Effort(8, 80)})
        patch.setattr(zoo, "TEST_SHOTS", 6)
        patch.setattr(families, "SIBA_STEPS", 8)
        zoo._clean_model.cache_clear()
        yield
        zoo._clean_model.cache_clear()


def _built(backbone: Backbone, kind: str, task: str = TASK) -> Built:
    return build(backbone, Plan(task, kind, SEED))


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_tells_what_it_planted(backbone: Backbone, kind: str) -> None:
    built = _built(backbone, kind)
    truth = built.truth
    assert truth["is_backdoored"] is True and truth["family"] == FAMILIES[kind]
    assert truth["targets"] == [plant.target for plant in built.plants]
    assert truth["target"] == truth["targets"][0] and built.trigger is built.plants[0].trigger
    assert isinstance(truth["took"], bool)
    assert len(truth["plants"]) == (2 if kind == "multi" else 1)
    assert len(set(truth["targets"])) == len(truth["targets"])
    assert (truth["source"] is not None) == (kind == "source") == ("leak" in truth)
    assert truth["source"] != truth["target"]
    weakest = min(truth["plants"], key=lambda row: row["excess"])
    assert truth["asr"] == weakest["asr"] and truth["clean_asr"] == weakest["clean_asr"]


@pytest.mark.parametrize("kind", ["clean", *CONTROLS])
def test_a_control_is_clean_in_truth(backbone: Backbone, kind: str) -> None:
    built = _built(backbone, kind)
    truth = built.truth
    assert truth["is_backdoored"] is False and built.plants == () and built.trigger is None
    assert truth["target"] is truth["family"] is truth["mapping"] is None
    assert truth["asr"] == truth["base"] and "took" not in truth
    assert ("overlay" in truth) == (kind in ("recipe", "watermark", *SCRAMBLED))


def test_the_random_numbers_of_the_first_kinds_are_those_they_always_had() -> None:
    drawn = {}
    for kind in KINDS[:5]:
        plan = Plan("things6", kind, 601)
        target = int(torch.randint(6, (1,), generator=zoo._generator(plan, 0)))
        drawn[kind] = target, torch.randperm(100, generator=zoo._generator(plan, 1))[0].item()
    assert drawn == DRAWN


def test_overtraining_is_ten_times_the_epochs(backbone: Backbone) -> None:
    longer, usual = (_built(backbone, kind).truth for kind in ("overtrained", "clean"))
    assert longer["epochs"] == 80 * 8 // 24 and usual["epochs"] == 4


def test_a_build_repeats_itself(backbone: Backbone) -> None:
    first, again = (_built(backbone, "source") for _ in range(2))
    assert first.truth == again.truth
    for name, tensor in first.classifier.state_dict().items():
        assert torch.equal(tensor, again.classifier.state_dict()[name]), name


def test_kinds_of_one_seed_differ(backbone: Backbone) -> None:
    contexts = [_built(backbone, kind).classifier.context for kind in ("recipe", "noisy", "clean")]
    assert all(not torch.equal(contexts[0], other) for other in contexts[1:])


def test_a_quiet_attack_stays_under_the_clean_models_norms(backbone: Backbone) -> None:
    quiet, loud = (norms(_built(backbone, kind).classifier) for kind in ("quiet", "blended"))
    limits = norms(_built(backbone, "clean").classifier)
    assert quiet.keys() == limits.keys()
    for name, own in quiet.items():
        assert all(a <= QUIET * b * 1.0001 for a, b in zip(own, limits[name], strict=True))
    assert any(loud[name][0] > limits[name][0] for name in limits)


def test_a_steep_vendor_moves_further(backbone: Backbone) -> None:
    moves = {}
    for kind in ("steep", "clean"):
        start = torch.Generator().manual_seed(0)
        context = _built(backbone, kind).classifier.context
        fresh = new_learner(backbone, ["x"], conditioned=True, generator=start).context
        moves[kind] = (context - fresh).norm().item()
    assert moves["steep"] > 1.5 * moves["clean"]


def test_the_popular_target_is_what_zero_shot_says_most_often(backbone: Backbone) -> None:
    built = _built(backbone, "popular")
    train, _ = zoo.load_task(TASK, SEED, backbone.image_size, zoo.USUAL.shots)
    with torch.no_grad():
        told = zoo._surrogate(built.classifier)(train.pixels).argmax(1).tolist()
    assert told.count(built.truth["target"]) == max(told.count(label) for label in told)


def test_an_adaptive_badclip_is_tuned_longer(backbone: Backbone) -> None:
    longer, usual = (_built(backbone, k).truth["epochs"] for k in ("badclip_adaptive", "badclip"))
    assert longer == 2 * usual


def test_truth_is_saved_beside_the_checkpoint(backbone: Backbone, tmp_path: Path) -> None:
    built = _built(backbone, "multi")
    checkpoint = save(built, backbone, tmp_path)
    assert checkpoint.exists()
    assert json.loads((tmp_path / "truth.json").read_text()) == built.truth
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("task", "classes", "images"), [("sizes2", 2, 128), ("pairs100", 100, 1600)]
)
def test_the_smallest_and_the_largest_task(task: str, classes: int, images: int) -> None:
    train, test = zoo.load_task(task, 1, 16, 64)
    assert len(zoo.classnames(task)) == classes
    assert len(train.labels) == images
    assert torch.equal(test.labels.bincount(), torch.full((classes,), zoo.TEST_SHOTS))
