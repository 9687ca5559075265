"""Rounds of requests until there are as many cases as were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2
from schemathesis.engine import events, from_schema

from tests.apifuzz import planning
from tests.apifuzz.steering import Steering
from tests.apifuzz.tally import Fault, Tally
from tests.apifuzz.twin import Twin
from tests.apifuzz.world import World

_PATIENCE = 5
"""Rounds after which an operation that has accepted nothing is given up."""
_SHOWN = 20
"""Faults of one round."""
_MOST_FAULTS = 500
"""After so many a campaign ends early."""


def run(
    world: World,
    *,
    cases: int,
    examples: int,
    seed: int,
    document: dict[str, Any] | None = None,
    twin: World | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Tally:
    """At least so many cases, of the world's own document unless another one is given.

    There are more where an operation has accepted nothing yet.
    Each round draws ``examples`` anew of every operation, by a seed of its own.
    """
    if document is None:
        document = httpx2.get(f"{world.url}/openapi.json").json()
    assert document is not None
    tally = Tally(_operations(document))
    steering = Steering(tally, world.known, seed, Twin(twin) if twin else None)
    begin, number = time.monotonic(), 0
    with steering.installed():
        while _goes_on(tally, cases, number):
            schema = planning.schema_of(document, world, seed, examples, number)
            known = len(tally.faults)
            for event in from_schema(schema).execute():
                _take(tally, event)
            for fault in tally.faults[known:][:_SHOWN]:
                say(str(fault))
            number += 1
            say(f"round {number}, {time.monotonic() - begin:.0f} s, {tally.row()}")
    return tally


def _goes_on(tally: Tally, cases: int, rounds: int) -> bool:
    if len(tally.faults) >= _MOST_FAULTS:
        return False
    return tally.cases < cases or (rounds < _PATIENCE and bool(tally.never_accepted))


def _operations(document: dict[str, Any]) -> frozenset[str]:
    return frozenset(
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    )


def _take(tally: Tally, event: events.EngineEvent) -> None:
    if isinstance(event, events.ScenarioFinished):
        _count(tally, event)
    elif isinstance(event, events.NonFatalError):
        tally.faults.append(Fault("no answer", event.label, str(event.value), ""))
    elif isinstance(event, events.FatalError):
        raise event.exception


def _count(tally: Tally, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    for case_id, interaction in recorder.interactions.items():
        label = recorder.cases[case_id].value.operation.label
        status = interaction.response.status_code if interaction.response else 0
        tally.answers[label, status] += 1
        tally.stages[event.phase.value] += 1
    for case_id, checks in recorder.checks.items():
        label = recorder.cases[case_id].value.operation.label
        for check in checks:
            found = check.failure_info
            if found is not None:
                message = f"{found.failure.title}: {found.failure.message}"
                tally.faults.append(Fault(check.name, label, message, found.code_sample))
