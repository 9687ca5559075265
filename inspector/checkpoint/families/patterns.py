"""Regular expressions of a hostile file, matched in bounded time.

Python's own matcher tries one way after another, and a short expression can keep it busy for ever.
Here all ways are followed at once: an expression takes a set of positions to the set of those where
it may end. What may be captured or preferred says nothing about whether there is a match, so groups
and lazy quantifiers need no more. Read are literals, ``.``, classes, groups, alternatives,
quantifiers, ``^``, ``$`` and looking ahead; the rest (backreferences, looking behind, flags, ...)
is refused by name. Source of the meaning: the documentation of Python's ``re``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST = 2_000
_DEEPEST = 50
_DIGITS = 4
_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal, "D": lambda c: not c.isdecimal(), "s": str.isspace,
    "S": lambda c: not c.isspace(), "w": lambda c: c.isalnum() or c == "_",
    "W": lambda c: not (c.isalnum() or c == "_"),
}  # fmt: skip
_COUNTED = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
Chars = Callable[[str], bool]
Positions = frozenset[int]
_Step = Callable[[str, Positions], Positions]


class UnreadablePattern(ValueError):
    """An expression that is wrong, of a kind that is not read, or that costs too much."""


@dataclass(slots=True)
class Fuel:
    """How many steps all matches together may take."""

    left: int = 5_000_000

    def burn(self, steps: int) -> None:
        """Raises UnreadablePattern once all is used."""
        self.left -= 1 + steps
        if self.left < 0:
            raise UnreadablePattern("regular expressions that take too long")


class Pattern:
    """A compiled expression.

    Raises:
        UnreadablePattern: see there.
    """

    def __init__(self, text: str, fuel: Fuel) -> None:
        if len(text) > _LONGEST:
            raise UnreadablePattern(f"a regular expression of {len(text)} characters")
        self._step = _Parser(text, fuel).parsed()

    def ends(self, text: str, starts: Positions = frozenset({0})) -> Positions:
        """Where matches in ``text`` may end that begin at one of ``starts``."""
        return self._step(text, starts)

    def is_all(self, text: str) -> bool:
        """As ``re.fullmatch``."""
        return len(text) in self.ends(text)


class _Parser:
    """Recursive descent; each method gives the step of what it has read."""

    def __init__(self, text: str, fuel: Fuel) -> None:
        self._text, self._at, self._depth, self._fuel = text, 0, 0, fuel

    def parsed(self) -> _Step:
        step = self._alternatives()
        if self._at < len(self._text):
            raise self._unread("an unbalanced parenthesis")
        return step

    def _unread(self, what: str) -> UnreadablePattern:
        return UnreadablePattern(f"{what} in the regular expression {self._text[:80]!a}")

    def _takes(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        self._at += len(word)
        return True

    def _next(self) -> str:
        if self._at == len(self._text):
            raise self._unread("a cut off part")
        self._at += 1
        return self._text[self._at - 1]

    def _alternatives(self) -> _Step:
        ways = [self._sequence()]
        while self._takes("|"):
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else _any_of(ways)

    def _sequence(self) -> _Step:
        steps = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            steps.append(self._quantified())
        return _one_after_another(steps)

    def _quantified(self) -> _Step:
        step = self._atom()
        counted = _COUNTED.match(self._text, self._at)
        if self._takes("*"):
            low, high = 0, None
        elif self._takes("+"):
            low, high = 1, None
        elif self._takes("?"):
            low, high = 0, 1
        elif counted and counted[0] != "{}":
            low, high = self._counts(counted)
        else:
            return step
        if not self._takes("?") and self._text.startswith(("+", "*", "{"), self._at):
            raise self._unread("a possessive or repeated quantifier")
        return _repeated(step, low, high, self._fuel)

    def _counts(self, counted: re.Match[str]) -> tuple[int, int | None]:
        self._at = counted.end()
        low, comma, high = counted.groups()
        if max(len(low), len(high)) > _DIGITS:
            raise self._unread("a number of many digits")
        if not comma:
            return int(low), int(low)
        return int(low or 0), int(high) if high else None

    def _atom(self) -> _Step:
        letter = self._next()
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._one(self._class())
        if letter == ".":
            return self._one(lambda c: c != "\n")
        if letter == "^":
            return lambda text, starts: starts & {0}
        if letter == "$":
            return _at_end
        if letter in "*+?":
            raise self._unread("a quantifier of nothing")
        return self._one(self._escaped() if letter == "\\" else _same(letter))

    def _group(self) -> _Step:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._unread("too many parentheses")
        kind = next(filter(self._takes, ("?=", "?!", "?:")), None)
        if kind is None and self._text.startswith("?", self._at):
            raise self._unread("a group of an unknown kind")
        step = self._alternatives()
        if not self._takes(")"):
            raise self._unread("an unbalanced parenthesis")
        self._depth -= 1
        return step if kind in (None, "?:") else _ahead(step, is_wanted=kind == "?=")

    def _escaped(self) -> Chars:
        letter = self._next()
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter.isalnum():
            raise self._unread(f"\\{letter}")
        return _same(letter)

    def _class(self) -> Chars:
        is_negated = self._takes("^")
        members: list[Chars] = []
        # A bracket that stands first is a member.
        while not (members and self._takes("]")):
            first = self._next()
            member = self._escaped() if first == "\\" else _same(first)
            if re.match(r"-[^\]]", self._text[self._at :], re.DOTALL):
                self._at += 1
                member = self._range(first, self._next())
            members.append(member)
        return lambda c: any(member(c) for member in members) is not is_negated

    def _range(self, low: str, high: str) -> Chars:
        if "\\" in (low, high) or high < low:
            raise self._unread("an odd range of characters")
        return lambda c: low <= c <= high

    def _one(self, chars: Chars) -> _Step:
        fuel = self._fuel

        def step(text: str, starts: Positions) -> Positions:
            fuel.burn(len(starts))
            return frozenset(at + 1 for at in starts if at < len(text) and chars(text[at]))

        return step


def _same(letter: str) -> Chars:
    return lambda c: c == letter


def _at_end(text: str, starts: Positions) -> Positions:
    before = len(text) - 1 if text.endswith("\n") else len(text)
    return starts & {before, len(text)}


def _ahead(step: _Step, *, is_wanted: bool) -> _Step:
    return lambda text, starts: frozenset(
        start for start in starts if bool(step(text, frozenset({start}))) is is_wanted
    )


def _any_of(ways: list[_Step]) -> _Step:
    return lambda text, starts: frozenset().union(*(way(text, starts) for way in ways))


def _one_after_another(steps: list[_Step]) -> _Step:
    def step(text: str, starts: Positions) -> Positions:
        for one in steps:
            if not starts:
                break
            starts = one(text, starts)
        return starts

    return step


def _repeated(step: _Step, low: int, high: int | None, fuel: Fuel) -> _Step:
    def repeated(text: str, starts: Positions) -> Positions:
        for _ in range(low):
            fuel.burn(1)
            after = step(text, starts)
            if after == starts:
                break
            starts = after
        every = starts
        count = 0
        while starts and (high is None or count < high - low):
            fuel.burn(1)
            starts = step(text, starts) - every
            every |= starts
            count += 1
        return every

    return repeated
