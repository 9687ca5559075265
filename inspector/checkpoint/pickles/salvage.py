"""What stands behind the error that ended a walk, so that the payload of a broken file is named.

The pickle is walked once more by a machine that never gives up: what is missing on the stack or in
the memo becomes a placeholder, an unknown opcode is passed over, bytes behind STOP are read as the
next pickle. Only what an attack needs goes into the ledger, since a damaged honest file must not be
accused (:func:`~inspector.checkpoint.pickles.globals.is_attack`). Where it is no longer certain at
which byte an opcode begins, texts may look like names, and less is believed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.globals import is_attack
from inspector.checkpoint.pickles.inert import Mapping
from inspector.checkpoint.pickles.ledger import Ledger
from inspector.checkpoint.pickles.machine import Walker
from inspector.checkpoint.pickles.operands import LITERALS, Cursor
from inspector.errors import ArtifactError, LimitExceeded

_N = TypeVar("_N")
_LOST = object()
"""In place of a value that is missing."""
_UNCERTAIN = 10_000
"""Errors after which opcodes are no longer looked for: these bytes are no pickle."""
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_STOP, _PROTOCOL, _NEWEST = ord("."), 0x80, 5
_PUSHING = frozenset(b"cRioP\x93\x81\x92\x82\x83\x84\x97")
"""Opcodes that leave one value on the stack, which is missing when they fail."""


def salvage(data: bytes, ledger: Ledger, limits: Limits, start: int) -> None:
    """Note in ``ledger`` what the broken pickle at ``start`` would run behind its fault."""
    patient = _Patient(Cursor(data, limits, start, leaps=True), Ledger(limits.globals))
    patient.run_on()
    with suppress(LimitExceeded):
        for found, is_sure in ((patient.sure, True), (patient.unsure, False)):
            for entry in found.entries.values():
                is_name = _NAME.fullmatch(f"{entry.module}.{entry.name}")
                if is_name and is_attack(entry, is_sure=is_sure):
                    # What was named before the fault has been counted.
                    count = 0 if (entry.module, entry.name) in ledger.entries else entry.count
                    ledger.merge(replace(entry, count=count, pushed=0, idle=0))


class _Patient(Walker):
    """A walker that takes every error for a gap."""

    def __init__(self, cursor: Cursor, ledger: Ledger) -> None:
        super().__init__(cursor, ledger)
        self.sure, self.unsure = ledger, Ledger(ledger.limit)

    def run_on(self) -> None:
        """Walk to the end of the bytes, or of the work that one pickle may cost."""
        cursor, errors = self.cursor, 0
        for _ in range(self.limits.opcodes):
            if cursor.position >= len(cursor.data) or errors > _UNCERTAIN:
                return
            opcode = cursor.data[cursor.position]
            cursor.position += 1
            if opcode == _STOP:
                self._begin_again()
                continue
            try:
                self.step(opcode)
            except ArtifactError as error:
                errors += cursor.is_lost or isinstance(error, LimitExceeded)
                if opcode in LITERALS or opcode in _PUSHING:
                    self.stack.append(_LOST)
                self._doubt()
            if len(self.stack) > self.limits.stack_items:
                self.stack = []

    def _begin_again(self) -> None:
        self.stack, self.marks, self.memo = [], [], {}
        head = self.cursor.data[self.cursor.position : self.cursor.position + 2]
        self.cursor.is_lost |= not (len(head) == 2 and head[0] == _PROTOCOL and head[1] <= _NEWEST)
        self._doubt()

    def _doubt(self) -> None:
        if self.cursor.is_lost:
            self.ledger = self.unsure

    def pop(self) -> object:
        return self.stack.pop() if self.stack else _LOST

    def top(self) -> object:
        return self.stack[-1] if self.stack else _LOST

    def pop_kind(self, kind: type[_N], what: str) -> _N:
        value = self.pop()
        if isinstance(value, kind):
            return value
        if kind in (tuple, Mapping):
            return kind()
        raise self.cursor.fail(what)

    def push_mark(self) -> None:
        if len(self.marks) >= self.limits.mark_depth:
            self.marks = []
        super().push_mark()

    def pop_mark(self) -> list[object]:
        items, self.stack = self.stack, self.marks.pop() if self.marks else []
        return items

    def remember(self, index: int) -> None:
        # Indices without a bound could be chosen so that all of them have one hash.
        if 0 <= index <= self.limits.opcodes and len(self.memo) <= self.limits.memo_entries:
            self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        in_reach = 0 <= index <= self.limits.opcodes
        self.push_again(self.memo.get(index, _LOST) if in_reach else _LOST)
