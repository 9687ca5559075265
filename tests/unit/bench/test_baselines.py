"""The baselines: their statistics against known numbers, their searches on a planted backdoor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.objectives import margins, own_margins
from inspector.detection.pools import Pools
from tests.bench.baselines import gamma, mm_bd
from tests.bench.baselines.__main__ import main
from tests.bench.baselines.common import Setting, batches, success
from tests.bench.baselines.k_arm import AREA, Arm, Pair, _next, race, screen
from tests.bench.baselines.mm_bd import chance
from tests.bench.baselines.neural_cleanse import smallest, smallest_stands_out
from tests.bench.baselines.paper import paper, search
from tests.bench.baselines.penalty import Mask, Weight
from tests.bench.baselines.pixel_backdoor import fewest, touched
from tests.bench.baselines.table import gated, read
from tests.bench.models import read_models
from tests.bench.speed import whole
from tests.zoo.build import Built, save
from tests.zoo.tasks import TASKS

TASK, CLASSES, TARGET, EPSILON = TASKS["colours10"], 4, 2, 0.03
NAMES = TASK.classnames[:CLASSES]


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def pixels(pocket: Backbone) -> Tensor:
    drawn, labels = TASK.draw(8, torch.Generator().manual_seed(9), pocket.image_size)
    return drawn[labels < CLASSES]


def learner(backbone: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    made = new_learner(backbone, NAMES, conditioned=True, generator=generator)
    made.requires_grad_(False)
    assert made.meta_net is not None
    torch.nn.init.zeros_(made.meta_net.linear2.weight)
    torch.nn.init.zeros_(made.meta_net.linear2.bias)
    return made


@pytest.fixture(scope="module")
def clean(pocket: Backbone) -> Classifier:
    return learner(pocket)


@pytest.fixture(scope="module")
def planted(pocket: Backbone, pixels: Tensor) -> Classifier:
    """A meta-net that answers one direction of the image feature with a context for the target.

    The direction is one that a small universal perturbation moves far; the context was fitted.
    """
    made = learner(pocket)
    generator = torch.Generator().manual_seed(5)
    features = made.image_features(pixels)
    direction = torch.randn(features.shape[1], generator=generator)
    direction /= direction.norm()
    trigger = torch.zeros_like(pixels[0]).requires_grad_()
    for _ in range(12):
        seen = made.image_features((pixels + trigger).clamp(0, 1))
        (slope,) = torch.autograd.grad((seen @ direction).mean(), trigger)
        moved = trigger.detach() + EPSILON / 4 * slope.sign()
        trigger = moved.clamp(-EPSILON, EPSILON).requires_grad_()
    triggered = made.image_features((pixels + trigger.detach()).clamp(0, 1))
    low, high = (features @ direction).quantile(0.9), (triggered @ direction).mean()
    net = made.meta_net
    assert net is not None
    torch.nn.init.zeros_(net.linear1.weight)
    torch.nn.init.zeros_(net.linear1.bias)
    net.linear1.weight[0], net.linear1.bias[0] = direction / (high - low), -low / (high - low)
    net.linear2.weight[:, 0] = _context_for_target(made, triggered, generator)
    return made


def _context_for_target(made: Classifier, features: Tensor, generator: torch.Generator) -> Tensor:
    shift = (torch.randn(made.context.shape[1], generator=generator) * 0.01).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=0.02)
    for _ in range(60):
        text = made.backbone.text.encode(*made.layout.fill(made.context + shift, None))
        logits = made.backbone.logit_scale * features @ text.T
        (shift.grad,) = torch.autograd.grad(-margins(logits, TARGET).mean(), shift)
        optimizer.step()
    return shift.detach()


def test_the_paper_ranks_a_planted_backdoor_first_and_only_there(
    clean: Classifier, planted: Classifier, pixels: Tensor
) -> None:
    pools = Pools(pixels.repeat(8, 1, 1, 1), pixels)
    found, other = (paper(model, pools, Setting(EPSILON)) for model in (planted, clean))
    assert found.accused == TARGET != other.accused
    assert found.values[TARGET] > other.values[TARGET] + 2
    assert found.success[TARGET] > other.success[TARGET] + 0.1


def test_mm_bd_finds_a_planted_backdoor_and_only_there(
    monkeypatch: pytest.MonkeyPatch, clean: Classifier, planted: Classifier, pixels: Tensor
) -> None:
    monkeypatch.setattr(mm_bd, "IMAGES", 8)
    setting = Setting(EPSILON, scale=0.1)
    found, other = (
        mm_bd.mm_bd(model, Pools(pixels, pixels), setting) for model in (planted, clean)
    )
    assert (found.accused, found.flagged) == (TARGET, True)
    assert found.values[TARGET] > other.values[TARGET] + 3
    assert found.score > other.score


@pytest.mark.parametrize("objective", ["logit", "entropy", "margin"])
def test_every_objective_moves_probes_to_the_class(
    clean: Classifier, pixels: Tensor, objective: str
) -> None:
    setting = Setting(EPSILON, objective=objective)  # type: ignore[arg-type]
    delta = search(clean, pixels.repeat(4, 1, 1, 1), 1, setting)
    assert delta.abs().max() <= EPSILON + 1e-7
    with torch.no_grad():
        before, after = clean(pixels)[:, 1], clean((pixels + delta).clamp(0, 1))[:, 1]
    assert after.mean() > before.mean() + 0.2


def test_the_margin_of_two_prompts_has_the_gradient_of_all(
    clean: Classifier, planted: Classifier, pixels: Tensor
) -> None:
    few = pixels[::4].clone().requires_grad_()
    short = own_margins(planted, planted.image_features(few), 1)
    whole = margins(planted(few), 1)
    assert torch.allclose(short, whole, atol=1e-3)
    (first,) = torch.autograd.grad(short.sum(), few)
    (second,) = torch.autograd.grad(whole.sum(), few)
    assert (first - second).abs().max() <= 1e-3 * second.abs().max()


def test_neural_cleanse_keeps_the_smallest_mask_that_worked(
    clean: Classifier, pixels: Tensor
) -> None:
    few = pixels[::4]
    size, stamp = smallest(clean, Pools(few, few), 3, Setting(EPSILON, scale=8))
    assert size == pytest.approx(stamp.mask.sum().item(), rel=1e-4)
    assert size < 0.4 * few[0, 0].numel()
    assert success(clean, few, stamp, 3) == 1.0


def test_pixel_backdoor_counts_the_pixels_of_a_trigger_that_works(
    clean: Classifier, pixels: Tensor
) -> None:
    few = pixels[::4]
    count, pattern = fewest(clean, Pools(few, few), 3, Setting(EPSILON, scale=8))
    assert count == touched(pattern)
    assert success(clean, few, lambda images: (images + pattern).clamp(0, 1), 3) >= 0.9


def test_touched_pixels_count_once_whatever_the_channel() -> None:
    pattern = torch.zeros(3, 4, 4)
    pattern[0, 1, 1], pattern[2, 1, 1], pattern[1, 0, 3] = 0.5, -0.5, 0.1
    assert touched(pattern) == 2


def test_the_smallest_mask_is_judged_in_robust_deviations() -> None:
    sizes = [100.0, 110.0, 90.0, 105.0, 20.0]
    result = smallest_stands_out(sizes, [1.0] * 5)
    # Median 100, deviations 0, 10, 10, 5, 80: their median is 10.
    assert result.score == pytest.approx(80 / 14.826)
    assert (result.accused, result.flagged) == (4, True)
    large = smallest_stands_out([100.0, 110.0, 95.0, 105.0, 400.0], [1.0] * 5)
    assert (large.accused, large.flagged) == (2, False)


def test_the_weight_follows_success() -> None:
    weight = Weight(0.99, 2.0, 2.0**1.5, 3, wait=2)
    seen = []
    for share in (1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0):
        weight.step(share)
        seen.append(weight.value)
    fallen = 2e-3 / 2**1.5
    assert seen == pytest.approx([0, 1e-3, 1e-3, 2e-3, 2e-3, 2e-3, fallen, fallen])
    assert weight.has_risen and weight.has_fallen


@pytest.mark.parametrize(
    ("others", "largest", "parameters", "p"),
    [
        ((2.0, 2.5, 2.7, 3.1, 3.4, 3.9, 4.6, 5.8, 7.9), 12.0, (0.5651, 2.0, 2.1884), 0.0309932),
        ((5.54, 4.51, 12.02), 17.88, (0.27022, 4.51, 2.50789), 0.00152585),
        ((1.2, 0.9, 1.1, 1.5, 1.35, 1.02, 0.95, 1.8, 1.25), 2.6, (0.20716, 0.9, 0.72762), 0.0847835),
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5), 9.0, (54.4212, -11.3989, 0.284359), 0.111128),
    ],
)  # fmt: skip
def test_gamma_fit_and_p_are_those_of_scipy(
    others: tuple[float, ...], largest: float, parameters: tuple[float, ...], p: float
) -> None:
    """Expected: scipy 1.17.1, `gamma.fit` and 1 - cdf ** (number of classes)."""
    assert gamma.fit(others) == pytest.approx(parameters, rel=3e-3)
    assert gamma.order_p(largest, others) == pytest.approx(p, rel=3e-3)
    assert chance([*others, largest]) == gamma.order_p(largest, sorted(others))


def test_two_classes_are_too_few_for_a_spread() -> None:
    assert chance([3.0, 90.0]) == 1.0
    with pytest.raises(ValueError, match="fewer than two"):
        gamma.fit([2.0, 2.0])


def test_a_class_that_is_always_near_is_the_only_arm() -> None:
    chances = torch.full((40, 4), 0.01)
    chances[:, 1] = 0.3
    chances[torch.arange(40), torch.arange(40) % 4] = 0.6
    assert screen(chances) == [Pair(1, None)]


def test_a_class_near_to_one_other_makes_one_specific_arm() -> None:
    runner_up = torch.tensor([1, 3, 3, 0]).repeat(10)
    own = torch.arange(40) % 4
    chances = torch.full((40, 4), 0.01)
    chances[torch.arange(40), runner_up] = 0.2
    # Class 1 and 2 point to 3 only half of the time, class 3 to 0.
    loose = (own > 0) & (torch.arange(40) // 4 % 2 == 0)
    chances[loose, (own[loose] + 1) % 4] = 0.3
    chances[torch.arange(40), own] = 0.6
    pairs = screen(chances)
    assert Pair(1, 0) in pairs
    assert Pair(3, 1) not in pairs
    assert all(pair.victim is not None for pair in pairs)


def arm(smaller: int, size: float, velocity: float = 0.0, stopped: bool = False) -> Arm:
    mask = Mask(torch.full((1, 8, 8), 0.5), torch.full((3, 8, 8), 0.5))
    made = Arm(Pair(0, 1), torch.zeros(2, 3, 8, 8), mask, Weight(0.99, 1.5, 1.5, 5, wait=2))
    made.smaller, made.size, made.velocity, made.stopped = smaller, size, velocity, stopped
    return made


def test_the_bandit_warms_every_arm_up_and_then_pulls_the_most_promising() -> None:
    quiet = torch.Generator().manual_seed(0)  # Its first number is above the random share.
    slow, fast, new = arm(2, 1000.0, 5.0), arm(2, 900.0, 500.0), arm(0, 2500.0)
    slow.improved = True
    assert _next(slow, [slow, fast, new], False, quiet) is new
    assert _next(new, [slow, fast, new], False, quiet) is new
    assert _next(slow, [slow, fast], True, quiet) is fast
    done = arm(3, 500.0, stopped=True)
    assert _next(done, [new], True, quiet) is new
    assert _next(done, [], True, quiet) is None
    assert arm(2, 100.0, 0.0).merit == pytest.approx(100.0)


def test_the_race_pulls_every_arm_and_keeps_masks_that_work(
    clean: Classifier, pixels: Tensor
) -> None:
    with torch.no_grad():
        chances = clean(pixels).softmax(1)
    victims = [int(index) for index in chances.argmax(1).unique() if index != 3][:2]
    pairs = [Pair(3, victim) for victim in victims]
    arms = race(clean, pixels, chances, pairs, Setting(EPSILON, scale=0.06))
    assert sum(each.pulls for each in arms) == 60
    assert all(each.pulls for each in arms)
    for each in arms:
        assert each.kept is not None
        assert success(clean, each.pixels, each.kept, 3) == 1.0
        assert each.best == pytest.approx(each.kept.mask.mean().item() * AREA, rel=0.1)


def test_what_grows_with_the_steps_is_told_from_what_does_not() -> None:
    assert whole(10 + 5 * 0.5, 10 + 5 * 0.25, 0.5) == pytest.approx(15)


def test_batches_shuffle_each_epoch_and_stop_in_time() -> None:
    rows = list(batches(10, 4, 5, torch.Generator().manual_seed(1), torch.device("cpu")))
    assert [len(part) for part in rows] == [4, 4, 2, 4, 4]
    first = torch.cat(rows[:3])
    assert sorted(first.tolist()) == list(range(10))
    assert first[:8].tolist() != torch.cat(rows[3:]).tolist()


def test_an_invalid_trigger_gives_way_to_the_best_valid_one() -> None:
    row = {"values": "0 1 2 9 30", "success": "0.1 0.2 0.1 0.9 0.4"}
    # Median 2, deviations 2, 1, 0, 7, 28: their median is 2.
    score, best = gated(row)
    assert score == pytest.approx(7 / (2 * 1.4826))
    assert best == 3
    assert gated(row | {"success": "0 0 0 0 0"}) == (0, None)


def test_a_run_writes_its_rows_once(tmp_path: Path, clean: Classifier, pocket: Backbone) -> None:
    truth = {"task": "colours10", "seed": 7, "kind": "clean", "target": None, "epochs": 1}
    folder = tmp_path / "zoo" / "colours10-7-clean"
    save(Built(clean, truth, ()), pocket, folder)
    arguments = [str(tmp_path / "zoo"), "--method", "mmbd", "--scale", "0.004", "--images", "64"]
    arguments += ["--out", str(tmp_path / "out"), "--device", "cpu"]
    main(arguments)
    table = tmp_path / "out" / "mmbd-scale-0.004.csv"
    (row,) = read(table)
    assert row["image_forward"] == row["image_backward"] == str(CLASSES * mm_bd.IMAGES)
    assert int(row["flops"]) > 0 and row["scale"] == "0.004"
    (model,) = read_models([table])
    assert (model.is_clean, model.classes, model.task) == (True, CLASSES, "colours10")
    written = table.read_text()
    main([str(folder), *arguments])
    assert table.read_text() == written
    attacked = truth | {"kind": "multi", "took": True, "target": 0, "targets": [0, 3]}
    other = tmp_path / "zoo" / "colours10-7-multi"
    save(Built(clean, attacked, ()), pocket, other)
    main(arguments)
    rows = read(table)
    assert [each["kind"] for each in rows] == ["clean", "multi"]
    assert rows[1]["targets"] == "0 3"
    assert rows[1]["target_top1"] == str(rows[1]["top"] in ("0", "3"))
    assert json.loads((other / "truth.json").read_text())["targets"] == [0, 3]
