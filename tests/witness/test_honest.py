"""Every honest shape of one model: read, judged exactly as each loader takes it, and not capped."""

from __future__ import annotations

import pytest

from tests.witness import campaign, shapes
from tests.witness.parcels import Parcel

HONEST = shapes.honest()


def parcels(number: int) -> list[Parcel]:
    return [make(dict(shapes.states()[number])) for make in HONEST.values()]


def test_honest_shapes_may_be_clean() -> None:
    # A whole model, and among the wrappers' names one that is also the family's own.
    results = dict(zip(HONEST, campaign.run(parcels(4)), strict=True))
    wrong = {
        name: (result.kind, result.judged.findings, result.disagreement)
        for name, result in results.items()
        if result.kind != "judged the same"
    }
    assert wrong == {}


@pytest.mark.parametrize("number", range(4))
def test_all_wrappers_hold_the_same_tensors(number: int) -> None:
    every = parcels(number)[number::9]
    models = [result.judged.models for result in campaign.run(every)]
    assert all(len(found) == 1 for found in models)
    assert all(found == models[0] for found in models)
