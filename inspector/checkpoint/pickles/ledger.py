"""The account of every global that the pickles of one artifact name, and of what is done with it.

It is written at the very opcode, so that it survives an aborted walk. Passes no judgement (see
:mod:`inspector.checkpoint.pickles.globals`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inspector.checkpoint.pickles.inert import Call, Global
from inspector.errors import LimitExceeded


@dataclass(slots=True)
class Mentions:
    """How often one global was named, and by which opcodes it was put to use.

    Beside opcodes, ``uses`` holds ``computed`` (what a call of it gave is called or changed)
    and ``in turn`` (a function that calls its arguments was given it). ``pushed`` counts how
    often it came to lie on the stack, ``idle`` how often it was called there in the one way
    in which it runs nothing.
    """

    module: str
    name: str
    count: int = 0
    uses: set[str] = field(default_factory=set)
    pushed: int = 0
    idle: int = 0
    has_objects: bool = False
    """Whether it was called with more than plain values."""
    has_state: bool = False
    """Whether what a call of it gave was given a state."""

    @property
    def is_idle(self) -> bool:
        """Whether it was never put to any other use, nor handed to anything."""
        return not self.uses and self.pushed == self.idle


@dataclass(slots=True)
class Ledger:
    """Every global of every pickle of one artifact; it survives an aborted walk."""

    limit: int
    entries: dict[tuple[str, str], Mentions] = field(default_factory=dict)

    def mention(self, module: str, name: str) -> Mentions:
        """The entry of ``module.name``, made when it is new."""
        entry = self.entries.get((module, name))
        if entry is None:
            if len(self.entries) >= self.limit:
                raise LimitExceeded("globals", self.limit, len(self.entries) + 1)
            entry = self.entries[(module, name)] = Mentions(module, name)
        return entry

    def of(self, target: Global) -> Mentions:
        """The entry of a global, begun where there is none."""
        return self.mention(target.module, target.name)

    def use(self, target: object, opcode: str) -> None:
        """Note that ``opcode`` would call or change ``target``."""
        computed = not isinstance(target, Global)
        while isinstance(target, Call):
            target = target.function
        if isinstance(target, Global):
            self.of(target).uses.add("computed" if computed else opcode)

    def absorb(self, other: Ledger) -> None:
        """Add all that another ledger says."""
        for entry in other.entries.values():
            self.merge(entry)

    def merge(self, entry: Mentions) -> None:
        """Add what another ledger says of one global."""
        noted = self.mention(entry.module, entry.name)
        noted.count += entry.count
        noted.pushed += entry.pushed
        noted.idle += entry.idle
        noted.uses |= entry.uses
        noted.has_objects |= entry.has_objects
        noted.has_state |= entry.has_state
