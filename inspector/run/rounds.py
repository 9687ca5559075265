"""The copies of one case, made as far as they are needed, and which of them are searched in full.

Copies that hold nothing of the vendor's tuned weights are made first, one after the other: where
one is within the bars and a search of every class finds nothing in it, that is all. Else those that
keep weights are made, too, and stand in the order of `inspector.repair.tournament`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from inspector.detection.judgement import Judgement
from inspector.detection.testing import ClassOutcome
from inspector.repair.acceptance import BEST_FIRST, MOST_SEARCHED, Outcome
from inspector.repair.tournament import C, Candidate, Making, Refusal, Tournament

NOT_NEEDED = "not made: another that holds nothing of the delivered weights passed"
NO_MORE = "not made: the copies that were searched failed, and no more are searched"


@dataclass(frozen=True)
class Searched:
    """A copy, what a search of every class says of it, and the word for both.

    `outcomes`: of every class.
    """

    copy: Candidate
    judgement: Judgement
    outcomes: Sequence[ClassOutcome]
    word: Outcome

    @property
    def is_suspicious(self) -> bool:
        """Whether anything was found in it."""
        return not self.judgement.is_calm

    def to_json(self) -> dict[str, Any]:
        """As the report's table has it."""
        return {"score": self.judgement.score, "is_suspicious": self.is_suspicious}


class Rounds(Generic[C]):
    """Makes copies and searches them until one does not fail.

    Args:
        search: one copy, how many were searched before, to what is found in it.
        say: told of every strategy before it begins; what it raises ends all.
    """

    def __init__(
        self, tournament: Tournament[C], search: Callable[[Candidate, int], Searched],
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._tournament, self._search, self._say = tournament, search, say
        self._candidates: list[Candidate] = []
        self._refusals: list[Refusal] = []
        self.searched: list[Searched] = []

    def run(self, strategies: Sequence[Making[C]]) -> None:
        """Raises BudgetExceeded or NumericalError: a copy could not be searched to the end."""
        anew = [one for one in strategies if not one.keeps_weights]
        keeping = [one for one in strategies if one.keeps_weights]
        for number, one in enumerate(anew, 1):
            self._make([one])
            self._search_all(copy for copy in self._ranked if copy.judged.is_within_bars)
            if self._is_over:
                reason = NOT_NEEDED if self._has_passed else NO_MORE
                left = anew[number:] + keeping
                self._refusals += [Refusal(other.name, reason) for other in left]
                return
        self._make(keeping)
        # The first one's figures are told even if it has failed.
        told = [] if self.searched else self._ranked[:1]
        self._search_all([*told, *(one for one in self._ranked if not one.judged.is_failed)])

    @property
    def best(self) -> Searched | None:
        """Of those that were searched the first of the best word."""
        return min(self.searched, key=lambda one: BEST_FIRST.index(one.word), default=None)

    @property
    def refusals(self) -> Sequence[Refusal]:
        """Of strategies that made no copy."""
        return self._refusals

    def table(self) -> list[dict[str, Any]]:
        """A row a strategy, copies by rank, and what a search of them said."""
        said = {one.copy.strategy: one.to_json() for one in self.searched}
        rows: list[Candidate | Refusal] = [*self._ranked, *self._refusals]
        return [row.to_json() | {"searched": said.get(row.strategy)} for row in rows]

    @property
    def _ranked(self) -> list[Candidate]:
        return sorted(self._candidates, key=lambda one: one.rank)

    @property
    def _has_passed(self) -> bool:
        return any(one.word != "failed" for one in self.searched)

    @property
    def _is_over(self) -> bool:
        """Whether no copy that is made from here on would be searched."""
        return self._has_passed or len(self.searched) == MOST_SEARCHED

    def _make(self, strategies: Iterable[Making[C]]) -> None:
        for made in self._tournament.run(strategies, self._say):
            if isinstance(made, Refusal):
                self._refusals.append(made)
            else:
                self._candidates.append(made)

    def _search_all(self, copies: Iterable[Candidate]) -> None:
        """One after the other until one does not fail, no copy twice, MOST_SEARCHED in all."""
        for copy in copies:
            if self._is_over:
                return
            if all(one.copy is not copy for one in self.searched):
                self.searched.append(self._search(copy, len(self.searched)))
