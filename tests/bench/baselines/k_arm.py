"""K-Arm (Shen et al., ICML 2021; PurduePAML/K-ARM_Backdoor_Optimization): a bandit over targets.

Arms are screened first on untriggered images: a class among the top k of more than 95 % of all of
them is the only arm, for a universal trigger; else a class j among the top k of at least 90 % of the
images that the model puts into class i makes the arm "j from i", with up to three victims for each j.
k is 2 up to eight classes, then a quarter of them. Without arms the model is benign. Then masks are
searched as in Neural Cleanse, one pass over an arm's images a pull, at most 1,000 pulls: after two
smaller masks on every arm, the next is the one with the best (2500 - L1) / (smaller masks + pulls/2)
+ 1e4 / L1, or with chance 0.3 any. A model is flagged for a universal mask of less than 1,720 pixels,
or a specific one of less than 1,000 whose reverse (i from j) is more than ten times as large.

The constants are pixels of images of 224 x 224, as in TrojAI. Sizes here are scaled to that. The
original has a few clean images of each class; here the first 20 probes that the model puts there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection.pools import Pools
from tests.bench.baselines.common import Result, Setting, success
from tests.bench.baselines.penalty import Mask, Stamp, Weight

PULLS, ROUNDS, WARM_UP, RANDOM = 1000, 60, 2, 0.3
GLOBAL_SHARE, LOCAL_SHARE, VICTIMS = 0.95, 0.9, 3
FIRST, BETA = 2500, 1e4
GLOBAL_BOUND, LOCAL_BOUND, RATIO_BOUND = 1720, 1000, 10
BOUND, PATIENCE, UP, STOP_PATIENCE = 0.99, 5, 1.5, 10
AREA = 224 * 224
SHOTS, BATCH = 20, 32


@dataclass(frozen=True)
class Pair:
    """A target and the class that its trigger turns, None for all."""

    target: int
    victim: int | None


@dataclass
class Arm:
    """The search for one pair. Sizes are in pixels of 224 x 224."""

    pair: Pair
    pixels: Tensor
    mask: Mask
    weight: Weight
    pulls: int = 0
    smaller: int = 0
    """How often a smaller mask that works was found."""
    improved: bool = False
    size: float = math.inf
    velocity: float = -math.inf
    best: float = math.inf
    kept: Stamp | None = None
    most: float = 0.0
    """Largest success of any pull."""
    idle: int = 0
    stopped: bool = False

    def pull(self, classifier: Classifier) -> None:
        """One pass over the images."""
        # The penalty counts pixels of 224 x 224, of which this image has fewer.
        ratio = AREA / self.pixels[0, 0].numel()
        done = [
            self.mask.update(classifier, part, self.pair.target, self.weight.value * ratio)
            for part in self.pixels.split(BATCH)
        ]
        share = sum(one for one, _ in done) / len(done)
        self.size = ratio * sum(size for _, size in done) / len(done)
        self.pulls += 1
        self.most = max(self.most, share)
        self.improved = share >= BOUND and self.size < self.best
        if self.improved:
            self.smaller += 1
            self.best, self.kept = self.size, self.mask.frozen()
            self.velocity = (FIRST - self.size) / (self.smaller + self.pulls / 2)
        self.share = share

    share: float = field(default=0.0, init=False)

    @property
    def merit(self) -> float:
        return self.velocity + BETA / self.size

    def is_hopeless(self, backward: bool) -> bool:
        """A specific trigger that does not come to work is given up."""
        if self.pair.victim is None:
            return False
        if backward:
            return self.pulls > 200 and self.most < 1
        limits = ((10, 1e-9), (20, 0.3), (200, 0.8))
        return any(self.pulls > pulls and self.most < share for pulls, share in limits)


def k_arm(classifier: Classifier, pools: Pools, setting: Setting) -> Result:
    """Screen and race; `values` are mask sizes in pixels of 224 x 224, all of them where none was
    found. The score is the share of the image that the smallest mask leaves free."""
    classes = len(classifier.classnames)
    values, shares = [float(AREA)] * classes, [0.0] * classes
    chances = _chances(classifier, pools.optimisation)
    arms = race(classifier, pools.optimisation, chances, screen(chances), setting)
    for arm in arms:
        values[arm.pair.target] = min(values[arm.pair.target], arm.best)
    best = min(arms, key=lambda arm: arm.best, default=None)
    if best is None or best.kept is None:
        return Result(0.0, False, None, values, shares)
    target = best.pair.target
    shares[target] = success(classifier, pools.held_out, best.kept, target)
    bound = GLOBAL_BOUND if best.pair.victim is None else LOCAL_BOUND
    flagged = best.best < bound
    if flagged and best.pair.victim is not None:
        flagged = _reverse_size(classifier, pools, chances, best, setting) > RATIO_BOUND * best.best
    return Result(1 - best.best / AREA, flagged, target, values, shares)


@torch.no_grad()
def _chances(classifier: Classifier, pixels: Tensor) -> Tensor:
    return torch.cat([classifier(part).softmax(1) for part in pixels.split(64)])


def screen(chances: Tensor) -> list[Pair]:
    """Candidate arms from the softmax outputs (N, K) on untriggered images."""
    classes = chances.shape[1]
    k = 2 if classes <= 8 else round(0.25 * classes)
    values, indices = chances.topk(min(k, classes), dim=1)
    counts = indices.flatten().bincount(minlength=classes)
    if counts.max() > GLOBAL_SHARE * len(chances):
        return [Pair(int(counts.argmax()), None)]
    pairs = []
    for target in range(classes):
        found = {}
        for victim in range(classes):
            there = indices[:, 0] == victim
            if victim == target or not there.any():
                continue
            hits = (indices[there] == target).any(1)
            likely = values[there][indices[there] == target]
            if hits.float().mean() >= LOCAL_SHARE and likely.median() > 1e-8:
                found[victim] = float(likely.sum())
        best = sorted(found, key=lambda victim: -found[victim])[:VICTIMS]
        pairs += [Pair(target, victim) for victim in sorted(best)]
    return pairs


def race(
    classifier: Classifier, pixels: Tensor, chances: Tensor, pairs: list[Pair], setting: Setting
) -> list[Arm]:
    """The arms after the race; none without pairs."""
    generator = setting.generator(0)
    arms = [_arm(pair, pixels, chances, generator) for pair in pairs]
    _run(classifier, arms, setting.steps(PULLS), generator)
    return arms


def _arm(pair: Pair, pixels: Tensor, chances: Tensor, generator: torch.Generator) -> Arm:
    """An arm at its start: a random mask, or for a specific trigger a full square at the centre.

    A specific trigger has one colour.
    """
    size, device = pixels.shape[-1], pixels.device
    chosen = chances.argmax(1)
    victims = range(chances.shape[1]) if pair.victim is None else [pair.victim]
    rows = torch.cat([(chosen == victim).nonzero()[:SHOTS, 0] for victim in victims])
    mask = torch.rand(1, size, size, generator=generator)
    side = size if pair.victim is None else 1
    pattern = torch.rand(3, side, side, generator=generator)
    if pair.victim is not None:
        half = round(25 / 224 * size)
        mask *= 0.001
        mask[:, size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half] = 0.99
    weight = Weight(BOUND, UP, UP, PATIENCE, wait=2)
    return Arm(pair, pixels[rows], Mask(mask.to(device), pattern.to(device)), weight)


def _run(
    classifier: Classifier,
    arms: list[Arm],
    pulls: int,
    generator: torch.Generator,
    *,
    backward: bool = False,
) -> None:
    """Pull arms until the pulls are spent or nothing is left to be won."""
    arm, is_racing = (arms[0] if arms else None), False
    for _ in range(pulls):
        if arm is None:
            return
        arm.pull(classifier)
        arm.stopped = arm.stopped or arm.is_hopeless(backward)
        if is_racing:
            arm.idle = 0 if arm.improved else arm.idle + 1
            went_both_ways = arm.weight.has_risen and arm.weight.has_fallen
            is_settled = arm.pair.victim is None and went_both_ways and arm.idle > STOP_PATIENCE
            if arm.smaller > ROUNDS or is_settled:
                arm.stopped = True
                if arm is min(arms, key=lambda other: other.best):
                    return
        if not arm.stopped:
            arm.weight.step(arm.share)
        active = [other for other in arms if not other.stopped]
        is_racing = is_racing or (arm.improved and _are_warm(active))
        arm = _next(arm, active, is_racing, generator)


def _are_warm(arms: list[Arm]) -> bool:
    return all(arm.smaller >= WARM_UP for arm in arms)


def _next(arm: Arm, active: list[Arm], is_racing: bool, generator: torch.Generator) -> Arm | None:
    """The arm to pull next, None where all have stopped."""
    untried = [other for other in active if other.smaller == 0]
    if arm.stopped:
        if untried or not active:
            return untried[0] if untried else None
        return active[int(torch.randint(len(active), (1,), generator=generator))]
    if not arm.improved or arm.smaller < WARM_UP:
        return arm
    if not _are_warm(active):
        return next(other for other in active if other.smaller < WARM_UP)
    if is_racing and float(torch.rand(1, generator=generator)) < RANDOM:
        return active[int(torch.randint(len(active), (1,), generator=generator))]
    return max(active, key=lambda other: other.merit)


def _reverse_size(
    classifier: Classifier, pools: Pools, chances: Tensor, found: Arm, setting: Setting
) -> float:
    """Size of the trigger that turns the target back into its victim, after as many pulls.

    Infinite where none is found, or the probes show nothing of the target.
    """
    pair, generator = found.pair, setting.generator(1)
    assert pair.victim is not None
    arm = _arm(Pair(pair.victim, pair.target), pools.optimisation, chances, generator)
    if not len(arm.pixels):
        return math.inf
    _run(classifier, [arm], found.pulls, generator, backward=True)
    return arm.best
