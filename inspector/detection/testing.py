"""What every test of a classifier offers, and which one a profile takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from inspector.clip.classifier import Classifier
from inspector.detection.contrast import Effort
from inspector.detection.cost import Expected
from inspector.detection.evidence import Inverted
from inspector.detection.inversion import SearchConfig
from inspector.detection.judgement import Judgement
from inspector.detection.pools import Pools
from inspector.detection.published_test import PublishedTest
from inspector.detection.random_triggers import SHARES
from inspector.detection.reading import Search
from inspector.detection.spaces import spaces_of
from inspector.detection.twin_test import TwinTest, thresholds_of
from inspector.profiles import Profile, TwinBudget
from inspector.progress import Meter


class ClassOutcome(Protocol):
    """What is known of one class."""

    @property
    def target(self) -> int:
        """The class."""

    @property
    def inverted(self) -> Inverted | None:
        """The trigger that was found, and what it does; None where there is none."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report."""


class Test(Protocol):
    """Sweeps a classifier, and judges what all sweeps so far say."""

    @property
    def sweeps(self) -> Sequence[object]:
        """Those so far."""

    @property
    def outcomes(self) -> Sequence[ClassOutcome]:
        """One for each target."""

    @property
    def steps(self) -> int:
        """Updates of each search for a trigger."""

    def units(self, targets: int) -> int:
        """How many units of progress a first sweep has."""

    def expected(self, targets: int) -> Expected:
        """What a first sweep costs."""

    def sweep(self, targets: list[int], meter: Meter) -> None:
        """Once more; raises BudgetExceeded or NumericalError."""

    def judged(self) -> Judgement:
        """What the sweeps so far say."""

    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Sweep what leads once more, and judge everything."""

    def ranked(self, judgement: Judgement) -> list[int]:
        """All targets, that of the highest score first."""

    def run(self, targets: list[int], meter: Meter) -> Judgement:
        """Every sweep that is needed."""


def test_of(
    profile: Profile, classifier: Classifier, pools: Pools, radius: float, seed: int,
    thresholds: tuple[float, float] | None = None,
) -> Test:  # fmt: skip
    """The profile's test.

    Args:
        radius: of added triggers, in pixel units of [0,1].
        thresholds: a bank's, for accusing and for warning.
    """
    if profile.twins is None:
        return PublishedTest(classifier, pools, SearchConfig(radius), seed)
    search = search_of(profile.twins, radius)
    of_bank = thresholds_of(thresholds, len(classifier.classnames))
    return TwinTest(classifier, pools, search, seed, of_bank)


def units_of(profile: Profile, targets: int) -> int:
    """Units of progress of a first sweep for so many classes."""
    return targets if profile.twins is None else len(SHARES) + len(spaces_of(1.0))


def search_of(budget: TwinBudget, radius: float) -> Search:
    """What one reading spends; `radius` is the backbone's, in pixel units."""
    effort = asdict(budget)
    leading, num_eval = effort.pop("leading"), effort.pop("num_eval")
    return Search(spaces_of(radius), leading, num_eval, Effort(**effort))
