"""Small models of many families, inspected as users do: what comes out is what came out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.golden import golden
from tests.golden.cases import CASES
from tests.support.report_schema import assert_conforms

Inspected = tuple[golden.Reports, dict[str, list[str]]]


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Inspected:
    return golden.inspect_all(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def pinned() -> dict[str, Any]:
    return golden.pinned("reports")


def test_every_case_is_pinned(pinned: dict[str, Any]) -> None:
    assert list(pinned) == [case.name for case in CASES]


def test_the_cases_are_not_all_alike(pinned: dict[str, Any]) -> None:
    """What they are to tell apart must be among them."""
    assert {one["verdict"] for one in pinned.values()} >= {"backdoored", "inconclusive"}
    assert {one["threshold"] for one in pinned.values()} == {2.0, None}
    assert any(one["repair"] and one["repair"]["outcome"] == "unproved" for one in pinned.values())
    assert any(one["published_rule"] for one in pinned.values())
    assert len({one["family"] for one in pinned.values()} - {None}) >= 6
    assert {len(one["sweeps"]) for one in pinned.values()} >= {0, 1}


def test_verdicts_scores_and_figures(inspected: Inspected) -> None:
    golden.check("reports", golden.figures(inspected[0]))


def test_random_generators_and_how_much_they_draw(inspected: Inspected) -> None:
    golden.check("seeds", inspected[1])


def test_keys_of_every_kind_of_report(inspected: Inspected) -> None:
    golden.check("keys", golden.keys(inspected[0]))


def test_every_report_is_what_the_schema_says(inspected: Inspected) -> None:
    for report in inspected[0].values():
        assert_conforms(report)
