"""Hooks into schemathesis: what it cannot know of this API, and what only the server's state decides.

No check is switched off. A part of an upload gets as many bytes as were declared for it, most of the
time; a wish to wait is cut short, as nobody works here; and of data that fit the document a refusal
counts as a fault unless its code says that it depends on what the server holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import schemathesis
from schemathesis import Case, HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

from tests.apifuzz.tally import Fault, Tally
from tests.apifuzz.twin import Twin

_LONGEST_WAIT_S = 0.05
_FITTING = 0.7
_STATE = {
    ("POST", "idempotency_key_reused"),  # the same key with another body
    ("POST", "unknown_backbone"),  # which names there are is the operator's to say
    ("POST", "forbidden_webhook_target"),  # which networks are open is the operator's to say
    ("PUT", "part_size_mismatch"),  # how long a part is was declared with the upload
    ("PUT", "too_large"),
}
"""Method and code of refusals that no schema can foretell."""
_REFUSED_THOUGH_IT_FITS = "positive_data_acceptance"


class Steering:
    """One campaign's hooks; installed while the block of :meth:`installed` runs."""

    def __init__(self, tally: Tally, seed: int, twin: Twin | None) -> None:
        self._tally = tally
        self._random = Random(seed)
        self._twin = twin
        self._parts: dict[tuple[str, str], int] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        hooks: list[Callable[..., Any]] = [self.before_call, self.after_call, self.filter_failure]
        named = [_plain(hook) for hook in hooks]
        for hook in named:
            schemathesis.hook(hook)
        try:
            yield
        finally:
            for hook in named:
                schemathesis.hooks.unregister(hook)

    def before_call(self, context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
        if case.operation.label == "GET /v1/inspections/{inspection_id}":
            _cut_short(case)
        elif case.operation.label == "PUT /v1/uploads/{upload_id}/parts/{number}":
            self._fit(case)

    def after_call(self, context: HookContext, case: Case, response: Response) -> None:
        if case.operation.label.endswith(" /v1/uploads") and response.status_code == 201:
            made = response.json()
            for part in made["parts"]:
                length = part["end_offset"] - part["start_offset"]
                self._parts[made["id"], str(part["part_number"])] = length
        if self._twin is None:
            return
        self._tally.compared += 1
        difference = self._twin.difference(response)
        if difference is not None:
            label = case.operation.label
            fault = Fault("the databases differ", label, difference, case.as_curl_command())
            self._tally.faults.append(fault)

    def filter_failure(
        self, context: HookContext, failure: Failure, case: Case, response: Response
    ) -> bool:
        if _REFUSED_THOUGH_IT_FITS not in failure.checks or response.status_code >= 500:
            return True
        code = _code_of(response)
        if (str(response.request.method), code) not in _STATE:
            return True
        self._tally.refused_by_state[code] += 1
        return False

    def _fit(self, case: Case) -> None:
        place = (str(case.path_parameters.get("upload_id")), str(case.path_parameters.get("number")))
        length = self._parts.get(place)
        if length is not None and self._random.random() < _FITTING:
            case.body = self._random.randbytes(length)


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the method's name and parameters: hooks are told apart by these."""
    if method.__name__ == "before_call":

        def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
            method(context, case, kwargs)

        return before_call
    if method.__name__ == "after_call":

        def after_call(context: HookContext, case: Case, response: Response) -> None:
            method(context, case, response)

        return after_call

    def filter_failure(
        context: HookContext, failure: Failure, case: Case, response: Response
    ) -> bool:
        return bool(method(context, failure, case, response))

    return filter_failure


def _cut_short(case: Case) -> None:
    """Waits that would be granted; wrong ones stay as they are."""
    if _seconds(case.query.get("wait")) is not None:
        case.query["wait"] = _LONGEST_WAIT_S
    wish = str(case.headers.get("prefer", ""))
    if "wait" in wish and any(digit in wish for digit in "123456789"):
        case.headers["prefer"] = "wait=0"


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if _LONGEST_WAIT_S < seconds <= 60 else None


def _code_of(response: Response) -> str:
    try:
        return str(json.loads(response.content)["code"])
    except (ValueError, KeyError, TypeError):
        return ""
