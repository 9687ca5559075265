"""The p-value, and which calibration it comes from."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.calibration import (
    ClassNames,
    Inspected,
    Probes,
    Weights,
    found,
    p_value,
    save,
)
from inspector.calibration.pvalue import ACCUSED, TASK, score_at
from inspector.errors import RequestError
from inspector.profiles import PROFILES, PUBLISHED, TWINS
from tests.unit.inspector.calibration.conftest import INSPECTED, WEIGHTS, bank


@pytest.mark.parametrize(
    ("score", "p"),
    [(-1.0, 1.0), (0.1, 1.0), (0.2, 4 / 5), (0.3, 2 / 5), (0.4, 2 / 5), (0.41, 1 / 5)],
)
def test_the_share_that_scores_as_high(score: float, p: float) -> None:
    """A tie counts as high."""
    assert p_value([0.1, 0.2, 0.2, 0.4], score) == pytest.approx(p)


def test_nan_has_no_p_value() -> None:
    for scores, score in (([0.1], float("nan")), ([float("nan")], 0.1)):
        with pytest.raises(ValueError, match="NaN"):
            p_value(scores, score)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_uniform_on_exchangeable_scores_and_conservative_with_ties(seed: int) -> None:
    draw = random.Random(seed)
    number, rounds = 9, 8000
    # All empirical shares together stray further but once in a million (Dvoretzky-Kiefer-Wolfowitz).
    slack = math.sqrt(math.log(2 / 1e-6) / (2 * rounds))

    def levels(digits: int) -> list[float]:
        """Share of rounds with p at or below 1/10, 2/10, … 10/10."""
        values = []
        for _ in range(rounds):
            scores = [round(draw.gauss(0, 1) ** 3, digits) for _ in range(number + 1)]
            values.append(p_value(scores[1:], scores[0]))
        return [sum(p <= (k + 0.5) / 10 for p in values) / rounds for k in range(1, 11)]

    assert levels(12) == pytest.approx([k / 10 for k in range(1, 11)], abs=slack)
    tied = levels(0)
    assert all(share <= k / 10 + slack for k, share in enumerate(tied, 1))
    assert tied[4] < 0.5 - 5 * slack, "many scores are the same"


OTHERS: dict[str, Inspected] = {
    "backbone": replace(INSPECTED, backbone=Weights("00" * 32, WEIGHTS.mean, WEIGHTS.std)),
    "normalisation": replace(INSPECTED, backbone=Weights(WEIGHTS.sha256, (0, 0, 0), WEIGHTS.std)),
    "family": replace(INSPECTED, family="CoOp"),
    "family ": replace(INSPECTED, family="MaPLe"),
    "profile": replace(INSPECTED, profile=PROFILES["standard"]),
    "probes": replace(INSPECTED, probes=Probes("00" * 32, (8, 4))),
    "probes ": replace(INSPECTED, probes=Probes("cd" * 32, (7, 4))),
    "probes  ": replace(INSPECTED, probes=Probes("cd" * 32, (8, 3))),
    "targets": replace(INSPECTED, is_exhaustive=False),
    "classes": replace(INSPECTED, classes=ClassNames.of("abcde")),
}


@pytest.mark.parametrize("field", OTHERS)
def test_a_file_that_does_not_apply_names_the_field(field: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    save(bank(), path)
    with pytest.raises(RequestError, match=rf"c.json does not apply, {field.strip()}: ") as caught:
        found(path, None, OTHERS[field])
    assert caught.value.field == "calibration"
    assert found(None, tmp_path, OTHERS[field]) is None


def test_another_rule(tmp_path: Path) -> None:
    save(bank(), tmp_path / "c.json")
    other = replace(PROFILES["quick"], twins=None)
    with pytest.raises(RequestError, match=f"statistic: it was made for {TWINS}.* has {PUBLISHED}"):
        found(tmp_path / "c.json", None, replace(INSPECTED, profile=other))


def test_a_bank_of_many_tasks_applies_to_pictures_of_the_task_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    save(bank(probes=TASK), path)
    assert found(
        path, None, replace(INSPECTED, probes=Probes("00" * 32, (9, 9)), is_of_the_task=True)
    )
    with pytest.raises(RequestError, match=f"probes: it was made for {TASK}"):
        found(path, None, INSPECTED)


@pytest.mark.parametrize("counts", [(2, 4), (3, 10), (5, 100)])
def test_few_and_more_classes_have_banks_of_their_own(
    counts: tuple[int, int], tmp_path: Path
) -> None:
    save(replace(bank(), class_counts=counts), tmp_path / "c.json")
    few, more = INSPECTED, replace(INSPECTED, classes=ClassNames.of("abcde"))
    fits = [found(None, tmp_path, one) is not None for one in (few, more)]
    assert fits == [counts == (2, 4), counts == (5, 100)]


def test_ours_are_asked_where_the_folder_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(bank(), tmp_path / "c.json")
    monkeypatch.setattr("inspector.calibration.pvalue.SHIPPED", tmp_path)
    assert found(None, None, INSPECTED)
    monkeypatch.setattr("inspector.calibration.pvalue.SHIPPED", tmp_path / "none")
    assert found(None, None, INSPECTED) is None


@given(
    st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=160),
    st.sampled_from([0.01, 0.02, 0.05, 0.3]),
)
def test_a_threshold_is_where_the_p_value_comes_to_its_level(
    scores: list[float], level: float
) -> None:
    least = score_at(scores, level)
    if math.isinf(least):
        assert 1 / (len(scores) + 1) > level
        return
    assert p_value(scores, least) <= level + 1e-12
    assert p_value(scores, math.nextafter(least, -1)) > level


def test_thresholds_are_infinite_where_the_bank_is_too_small() -> None:
    assert math.isinf(score_at([0.1] * 48, ACCUSED)) and math.isfinite(
        score_at([0.1] * 49, ACCUSED)
    )


def test_what_applies(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    save(bank(), path)
    applied = found(path, None, INSPECTED)
    assert applied is not None
    assert found(path, None, replace(INSPECTED, family="BadCLIP")) == applied
    assert (
        applied.to_json().items() >= {
            "id": bank().id, "models": 5, "statistic": TWINS, "same_classes": True,
        }.items()
    )  # fmt: skip
    assert applied.p_value(0.2) == 3 / 6
    (sentence,) = applied.limits(0.2)
    assert "5 honest models" in sentence and "2 of them score as high" in sentence
    assert "1/6" in sentence


def test_another_class_list_and_seed_are_told(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    save(bank(names=("a", "b", "c"), seed=9), path)
    applied = found(path, None, INSPECTED)
    assert applied is not None and not applied.same_classes
    _, classes, seed = applied.limits(0.2)
    assert "made on other classes, 3 a model" in classes
    assert "another seed, 9" in seed


def test_the_best_of_a_folder(tmp_path: Path) -> None:
    many = tuple(i / 100 for i in range(30))
    banks = {
        "other": bank(many, names=("a", "b")),
        "few": bank(),
        "more": bank(many[:8]),
        "seed": bank(many[:9], seed=8),
        "profile": bank(many, profile="paper"),
    }
    for name, made in banks.items():
        save(made, tmp_path / f"{name}.json")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "folder.json").mkdir()

    def best(inspected: Inspected = INSPECTED) -> str:
        applied = found(None, tmp_path, inspected)
        assert applied is not None
        return next(name for name, made in banks.items() if made.id == applied.calibration.id)

    assert best() == "more"
    assert best(replace(INSPECTED, classes=ClassNames.of(["x", "y"]))) == "other"
    assert best(replace(INSPECTED, profile=PROFILES["paper"])) == "profile"
    # A file that was asked for comes first, however small it is.
    applied = found(tmp_path / "few.json", tmp_path, INSPECTED)
    assert applied is not None and applied.calibration.id == banks["few"].id


def test_no_folder_no_calibration(tmp_path: Path) -> None:
    assert found(None, None, INSPECTED) is None
    assert found(None, tmp_path, INSPECTED) is None
    with pytest.raises(RequestError, match="is no folder"):
        found(None, tmp_path / "none", INSPECTED)
