"""Which of several verdicts about the same bytes counts. Pure: knows no signature and no clock.

The bytes do not change, so a later inspection only knows more, or less, about them:

- An accusation stands until an inspection that is strictly stronger finds the file clean. Whoever
  asks again until the answer is another one, with ``quick`` or other seeds, takes nothing back.
- Where nothing is accused, the newest counts of those that no other one is stronger than, so that
  a brief look after a thorough one changes nothing.

An inspection is as strong as another where it is of the same backbone, searched with a profile as
thorough, by an engine as new, and with pictures of the task if the other had them. What a statement
does not say cannot be compared. ``app.client.receiver`` holds the same rule for webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.attestation.reading import Signed
from app.attestation.strictjson import Json, part

_THOROUGHNESS = {"quick": 0, "standard": 1, "thorough": 2}
"""``paper`` is another method and is compared with itself only."""
_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")


@dataclass(frozen=True, slots=True)
class _Strength:
    backbone: str
    profile: str
    engine: tuple[int, ...]
    own_pictures: bool


def accuses(signed: Signed) -> bool:
    """Whether it says something against the file, rather than too little."""
    return signed.critical > 0 or (signed.result == "fail" and signed.verdict != "inconclusive")


def accusation(verdicts: Sequence[Signed]) -> Signed | None:
    """The newest one that nothing has taken back."""
    left = [
        one
        for one in verdicts
        if accuses(one) and not any(_takes_back(other, one) for other in verdicts)
    ]
    return max(left, key=_finished, default=None)


def relied_on(
    verdicts: Sequence[Signed], suits: Callable[[Signed], bool] | None = None
) -> Signed | None:
    """Of those that accuse nobody the newest that no other one of these is stronger than.

    Where a policy is given, the newest that it passes goes before, unless one that is
    not weaker came to no verdict since.
    """
    calm = [one for one in verdicts if not accuses(one)]
    if suits is not None:
        passed = [one for one in calm if suits(one) and not _is_doubted(one, calm)]
        if passed:
            return max(passed, key=_finished)
    left = [one for one in calm if not any(_is_stronger(other, one) for other in calm)]
    return max(left, key=_finished, default=None)


def _finished(signed: Signed) -> datetime:
    return signed.finished_at


def _is_doubted(signed: Signed, others: Sequence[Signed]) -> bool:
    return any(
        other.verdict == "inconclusive"
        and other.finished_at > signed.finished_at
        and not _is_stronger(signed, other)
        for other in others
    )


def _takes_back(later: Signed, earlier: Signed) -> bool:
    is_clean = later.verdict == "clean" and not accuses(later)
    return is_clean and later.finished_at > earlier.finished_at and _is_stronger(later, earlier)


def _is_stronger(one: Signed, other: Signed) -> bool:
    mine, theirs = _strength(one), _strength(other)
    return mine is not None and theirs is not None and mine != theirs and _reaches(mine, theirs)


def _reaches(mine: _Strength, theirs: _Strength) -> bool:
    if mine.profile == theirs.profile:
        is_as_thorough = True
    elif {mine.profile, theirs.profile} <= _THOROUGHNESS.keys():
        is_as_thorough = _THOROUGHNESS[mine.profile] > _THOROUGHNESS[theirs.profile]
    else:
        is_as_thorough = False
    return (
        is_as_thorough
        and mine.backbone == theirs.backbone
        and mine.engine >= theirs.engine
        and mine.own_pictures >= theirs.own_pictures
    )


def _strength(signed: Signed) -> _Strength | None:
    """None where the statement does not say all of it."""
    told: Json = signed.predicate or {}
    backbone, profile = part(told, "backbone").get("sha256"), told.get("profile")
    engine = part(told, "engine").get("version")
    if not (isinstance(backbone, str) and isinstance(profile, str) and isinstance(engine, str)):
        return None
    if not _RELEASE.fullmatch(engine):
        return None
    release = tuple(int(number) for number in engine.split("."))
    return _Strength(backbone, profile, release, part(told, "probes").get("inDistribution") is True)
