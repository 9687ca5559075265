"""Every fuzz target on its seeds and on a few thousand fixed mutations, without a fuzzer.

That the targets notice a broken reader is tested as well: a promise nobody checks is worth nothing.
"""

from __future__ import annotations

import time
from random import Random
from typing import NamedTuple

import pytest

from inspector.checkpoint.formats import safetensors, zipfiles
from inspector.checkpoint.formats import tars as tar_reader
from inspector.checkpoint.pickles import machine
from tests.fuzz import headers, pickles, readers, tars, zips
from tests.fuzz.target import Disagreement, Target

# The standard library says it of text that it decodes as we do.
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")


class Case(NamedTuple):
    target: Target
    executions: int
    accepted: float
    """The least share of the mutations that must get through: others only test refusals."""


CASES = [
    Case(pickles.TARGET, 3000, 0.1),
    Case(zips.TARGET, 3000, 0.1),
    Case(headers.TARGET, 3000, 0.1),
    Case(tars.TARGET, 2000, 0.02),
    Case(readers.TARGET, 1000, 0.05),
]
TARGETS = [case.target for case in CASES]


def run(target: Target, executions: int) -> float:
    """Mutate the seeds, the accepted mutations further; the share of what was accepted."""
    rng = Random(20)
    corpus = target.seeds()
    accepted = 0
    for _ in range(executions):
        data = target.mutate(rng.choice(corpus), rng, target.longest)
        assert len(data) <= target.longest
        start = time.monotonic()
        if target.check(data):
            accepted += 1
            corpus.append(data)
        assert time.monotonic() - start < 5
    return accepted / executions


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_most_seeds_are_accepted(target: Target) -> None:
    seeds = target.seeds()
    assert max(map(len, seeds)) <= target.longest
    assert sum(target.check(seed) for seed in seeds) > len(seeds) / 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.target.name)
def test_mutations(case: Case) -> None:
    assert run(case.target, case.executions) >= case.accepted


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_an_exception_of_another_kind_comes_through(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pickles, "walk", broken)
    monkeypatch.setattr(zipfiles, "read_members", broken)
    monkeypatch.setattr(headers, "read_views", broken)
    monkeypatch.setattr(tars, "read_members", broken)
    monkeypatch.setattr("inspector.checkpoint.opening.sniff", broken)
    with pytest.raises((ZeroDivisionError, Disagreement)):
        target.check(target.seeds()[0])


def test_a_walker_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine._STEPS, ord("a"), lambda walker: walker.pop() and None)
    with pytest.raises(Disagreement):
        run(pickles.TARGET, 500)


def test_a_walker_that_overwrites_a_state_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(walker: machine.Walker) -> None:
        state = walker.pop()
        target = walker.filled("BUILD")
        if not isinstance(target, list):
            target.state = state

    twice = b"ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sbNb."
    assert pickles.check(twice) is False
    monkeypatch.setitem(machine._STEPS, ord("b"), build)
    with pytest.raises(Disagreement):
        pickles.check(twice)


def test_a_zip_reader_that_mistakes_names_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfiles, "_name", lambda raw, flags: raw.decode("utf-8", "replace"))
    with pytest.raises(Disagreement):
        run(zips.TARGET, 2000)


def test_a_header_reader_that_mistakes_numbers_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    header = b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[-0,0]}}'
    assert headers.check(headers.file_of(header, b"")) is False
    monkeypatch.setattr(safetensors, "_integer", int)
    with pytest.raises(Disagreement):
        headers.check(headers.file_of(header, b""))


def test_a_tar_reader_that_skips_a_check_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "_check_numbers", lambda block: None)
    with pytest.raises(Disagreement):
        run(tars.TARGET, 2000)
