"""Hooks into schemathesis: what it cannot know of this API, and what only the server's state decides.

No check is switched off. Most of the time a part of an upload gets as many bytes as were declared for
it, an inspection is asked for of what is there, and an Idempotency-Key is a new one. A wish to wait is
cut short, as nobody works here. Of data that fit the document a refusal counts as a fault unless its
code says that it depends on what the server holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, hooks
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

from inspector.options import Options, specs
from tests.apifuzz.tally import Fault, Tally
from tests.apifuzz.twin import Twin
from tests.apifuzz.world import Known

_LONGEST_WAIT_S = 0.05
_FITTING = 0.7
_ID = re.compile(r"upl_[0-9a-f]{32}|[0-9a-f]{64}")
_STATE = {
    ("POST", "idempotency_key_reused"),  # the same key with another body
    ("POST", "unknown_backbone"),  # which names there are is the operator's to say
    ("POST", "forbidden_webhook_target"),  # which networks are open is the operator's to say
    ("POST", "sha256_mismatch"),  # whether the parts hash to what was declared
    ("PUT", "part_size_mismatch"),  # how long a part is was declared with the upload
    ("PUT", "too_large"),
}
"""Method and code of refusals that no schema can foretell."""
_REFUSED_THOUGH_IT_FITS = "positive_data_acceptance"
_GONE_THOUGH_CREATED = "ensure_resource_availability"


_CREATE = "POST /v1/inspections"
_WATCH = "GET /v1/inspections/{inspection_id}"
_PUT_PART = "PUT /v1/uploads/{upload_id}/parts/{number}"
_UPLOADS = ("POST /v1/uploads", "GET /v1/uploads/{upload_id}")


class Steering:
    """One campaign's hooks; installed while the block of :meth:`installed` runs."""

    def __init__(self, tally: Tally, known: Known, seed: int, twin: Twin | None) -> None:
        self._tally = tally
        self._known = known
        self._random = Random(seed)
        self._twin = twin
        self._lengths = dict(known.parts)
        self._keys = 0
        self._told_again: set[str] = set()
        """What answers named that were given before: it may have been deleted since."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        # Hooks are told apart by a function's name and parameters, which a bound method hides.
        def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
            self._steer(case)

        def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
            self._look(case, response)

        def filter_failure(
            context: HookContext, failure: Failure, case: Case[Any], response: Response
        ) -> bool:
            return self._is_fault(failure, response)

        ours: list[Callable[..., Any]] = [before_call, after_call, filter_failure]
        for hook in ours:
            schemathesis.hook(hook)
        try:
            yield
        finally:
            for hook in ours:
                hooks.unregister(hook)

    def _steer(self, case: Case[Any]) -> None:
        label = case.operation.label
        if label == _WATCH:
            _cut_short(case)
        elif label == _PUT_PART:
            self._fit(case)
        elif label == _CREATE:
            self._name_what_is_there(case)
        key = str(case.headers.get("idempotency-key", ""))
        if key.isascii() and key.isprintable() and 0 < len(key) < 200 and self._is_likely():
            self._keys += 1
            case.headers["idempotency-key"] = f"{key}-{self._keys}"

    def _look(self, case: Case[Any], response: Response) -> None:
        label = case.operation.label
        if label in _UPLOADS and response.status_code in (200, 201):
            upload = response.json()
            for part in upload["parts"]:
                length = part["end_offset"] - part["start_offset"]
                self._lengths[upload["id"], str(part["part_number"])] = length
        if "idempotent-replayed" in response.headers:
            self._told_again.add(str(response.json().get("id")))
        if self._twin is None:
            return
        self._tally.compared += 1
        difference = self._twin.difference(response)
        if difference is not None:
            fault = Fault("the databases differ", label, difference, case.as_curl_command())
            self._tally.faults.append(fault)

    def _is_fault(self, failure: Failure, response: Response) -> bool:
        if _GONE_THOUGH_CREATED in failure.checks:
            return str(response.request.url).rpartition("/")[2] not in self._told_again
        if _REFUSED_THOUGH_IT_FITS not in failure.checks or response.status_code >= 500:
            return True
        code = _code_of(response)
        if (str(response.request.method), code) not in _STATE:
            return True
        self._tally.refused_by_state[code] += 1
        return False

    def _fit(self, case: Case[Any]) -> None:
        """As many bytes as this part was declared to have."""
        parameters = case.path_parameters
        place = (str(parameters.get("upload_id")), str(parameters.get("number")))
        if place in self._lengths and self._is_likely():
            case.body = self._random.randbytes(self._lengths[place])

    def _name_what_is_there(self, case: Case[Any]) -> None:
        """Ids of the right shape become those of stored files; what is of another stays."""
        if not isinstance(case.body, dict):
            return
        there = {
            "upload_id": self._known.stored,
            **{one.name: self._known.stored for one in specs(Options, "rest") if one.is_pictures},
            "sha256": self._known.hashes,
        }
        for name, values in there.items():
            if _ID.fullmatch(str(case.body.get(name))) and self._is_likely():
                case.body[name] = self._random.choice(values)

    def _is_likely(self) -> bool:
        return self._random.random() < _FITTING


def _cut_short(case: Case[Any]) -> None:
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
