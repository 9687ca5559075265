"""The stack of the pickle machine, and the marks that divide it into frames.

Knows no opcode, and nothing of what the values are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from inspector.checkpoint.pickles.operands import Cursor
from inspector.errors import LimitExceeded

_N = TypeVar("_N")


class Stack:
    """Values in frames, one for each mark; ``stack`` is the frame on top, ``marks`` those below."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.limits = cursor.limits
        self.stack: list[object] = []
        self.marks: list[list[object]] = []

    def waiting(self) -> Iterator[object]:
        """What lies on the stack and under its marks."""
        yield from self.stack
        for below in self.marks:
            yield from below

    def push(self, value: object) -> None:
        """Put a value on the current frame of the stack."""
        # A method, so that the frame is looked up after a mark has been taken off.
        self.stack.append(value)

    def pop(self) -> object:
        """Take the topmost value off.

        Raises:
            MalformedArtifact: the frame is empty.
        """
        if not self.stack:
            raise self.cursor.fail("the stack is empty")
        return self.stack.pop()

    def pop_kind(self, kind: type[_N], what: str) -> _N:
        """Take the topmost value off, which must be a `kind`.

        Raises:
            MalformedArtifact: the frame is empty, or the value of another kind.
        """
        value = self.pop()
        if not isinstance(value, kind):
            raise self.cursor.fail(f"{what} is expected on the stack")
        return value

    def top(self) -> object:
        """The topmost value, which stays.

        Raises:
            MalformedArtifact: the frame is empty.
        """
        if not self.stack:
            raise self.cursor.fail("the stack is empty")
        return self.stack[-1]

    def push_mark(self) -> None:
        """Begin a frame.

        Raises:
            LimitExceeded: too many frames lie in one another.
        """
        if len(self.marks) >= self.limits.mark_depth:
            raise LimitExceeded("pickle depth", self.limits.mark_depth, len(self.marks) + 1)
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[object]:
        """End the frame and return its values.

        Raises:
            MalformedArtifact: no frame was begun.
        """
        if not self.marks:
            raise self.cursor.fail("no mark on the stack")
        items = self.stack
        self.stack = self.marks.pop()
        return items
