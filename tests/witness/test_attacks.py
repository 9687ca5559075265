"""Every trick that was found: the loaders do get other weights, and clipvet says so or judges them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.witness import attacks, campaign, shapes
from tests.witness.campaign import Result
from tests.witness.judging import judged
from tests.witness.parcels import Parcel, delivered
from tests.witness.sameness import counts, is_judged, is_twin

ATTACKS = attacks.attacks()


def _evil(state: shapes.State) -> shapes.State:
    return {name: tensor + 1 for name, tensor in state.items()}


@pytest.fixture(scope="module", params=[2], ids=["CoCoOp"])
def results(request: pytest.FixtureRequest) -> dict[str, Result]:
    clean = shapes.states()[request.param]
    parcels = [make(dict(clean), _evil(clean)) for make in ATTACKS.values()]
    return dict(zip(ATTACKS, campaign.run(parcels), strict=True))


def test_no_trick_works(results: dict[str, Result]) -> None:
    assert {n: r.disagreement for n, r in results.items() if r.disagreement} == {}


def test_loaders_open_them(results: dict[str, Result]) -> None:
    closed = {name for name, result in results.items() if not result.is_readable}
    # torch's own parser refuses none of them.
    assert closed == set()


def test_what_ran_was_noticed(results: dict[str, Result]) -> None:
    running = {name for name, result in results.items() if result.ran}
    assert running == {name for name in results if name.startswith("code")}
    assert all(results[name].judged.is_critical for name in running)


@pytest.mark.parametrize("name", ["second model under state_dict_ema", "the other format"])
def test_a_model_that_is_left_out_is_noticed(name: str, tmp_path: Path) -> None:
    """The check itself: with one model fewer than clipvet judges it must complain."""
    clean = shapes.states()[0]
    parcel = ATTACKS[name](dict(clean), _evil(clean))
    whole = judged(delivered(parcel, tmp_path), tmp_path / "out")
    assert whole.may_be_clean and len(whole.models) == 2
    less = replace(whole, models=whole.models[:1])
    assert _with(parcel, whole).disagreement == ""
    assert "other tensors for" in _with(parcel, less).disagreement


def _with(parcel: Parcel, reading: object) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign, "judged", lambda path, out: reading)
        return next(campaign.run([parcel]))


def test_what_runs_is_noticed_where_clipvet_is_blind() -> None:
    clean = shapes.states()[0]
    seen = next(campaign.run([shapes.one({"state_dict": clean})])).judged
    result = _with(shapes.one({"state_dict": clean, "epoch": attacks.payload()}), seen)
    assert "runs witness_canary" in result.disagreement


def _bits(value: int, shape: str = "2x4") -> str:
    return f"torch.float32 8 {shape} {value}"


def test_same_and_other() -> None:
    model = {"ctx": _bits(1), "token_prefix": _bits(2)}
    assert is_judged(model, [model])
    assert is_judged({f"module.{n}": b for n, b in model.items()}, [model])
    assert is_judged({**model, "n_averaged": "torch.int64 1  9"}, [model])
    assert is_judged({**model, **{f"ema.{n}": b for n, b in model.items()}}, [model])
    assert not is_judged({**model, "ctx": _bits(3)}, [model])
    assert is_judged({**model, "tx": _bits(1), "ged": "torch.int64 1  9"}, [model])
    assert not is_judged({**model, "tx": _bits(2)}, [model])
    assert not is_judged({"ctx": _bits(1)}, [model])
    assert not is_judged({**model, "more": _bits(1)}, [model])
    assert not is_judged({**model, "ctx": _bits(1, "4x2")}, [model])
    assert not is_judged({"module.ctx": _bits(1), "token_prefix": _bits(2)}, [model])


def test_twins_and_what_counts() -> None:
    required = [frozenset({"ctx"})]
    assert is_twin({"junk": _bits(1), "a.b.ctx": _bits(2)}, required)
    assert not is_twin({"1234567ctx": _bits(2), "exp_avg": _bits(1)}, required)
    assert not counts({"step": "torch.float32 1  7"})
    assert counts({"ctx": _bits(1)})


def test_bits_tell_negative_zero_and_views_apart() -> None:
    from tests.witness.customers import bits

    zero = torch.zeros(2, 3)
    assert bits(zero) != bits(-zero)
    assert bits(zero) != bits(zero.reshape(3, 2))
    assert bits(zero) == bits(zero.t().contiguous().t())
