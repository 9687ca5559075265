"""The pickle machine with its teeth drawn: it walks every opcode and performs none.

Covers protocols 0 to 5. ``GLOBAL`` and ``STACK_GLOBAL`` give placeholders; ``REDUCE``, ``NEWOBJ``,
``INST``, ``OBJ`` and ``BUILD`` give nodes and an entry in the ledger, written at the very
opcode, so that a payload followed by garbage is still evidence. Whatever the real machine might
tolerate and this one does not ends in a rejection, never in silence. Knows no tensor and passes no
judgement (see :mod:`inspector.checkpoint.pickles.globals`). The idea of walking instead of loading
is fickling's and ``pickletools``'.
"""

from __future__ import annotations

from collections.abc import Callable

from inspector.checkpoint.pickles.inert import (
    Call,
    Global,
    Group,
    Mapping,
    Node,
    Persistent,
    module_class,
)
from inspector.checkpoint.pickles.known import (
    called_in_turn,
    hides_a_method,
    is_borrowed,
    is_fixed,
    is_idle,
    is_partial,
    is_plain,
    is_state_of_partial,
    sets_a_tensor,
)
from inspector.checkpoint.pickles.ledger import Ledger
from inspector.checkpoint.pickles.operands import LITERALS, Cursor
from inspector.checkpoint.pickles.stack import Stack
from inspector.errors import LimitExceeded, UnsupportedFormat

_PLAIN_ARGUMENTS, _PLAIN_IN_ALL = 256, 1_000_000
"""Values that one call, and all calls of a pickle, may be given and still be looked through."""
_MAKING = frozenset({"REDUCE", "OBJ", "INST"})


class Walker(Stack):
    """One walk over one pickle."""

    def __init__(self, cursor: Cursor, ledger: Ledger) -> None:
        super().__init__(cursor)
        self.ledger = ledger
        self.memo: dict[int, object] = {}
        self.persistents: list[Persistent] = []
        self._unread = _PLAIN_IN_ALL
        self._globals: dict[tuple[str, str], Global] = {}

    def run(self) -> object:
        """Walk to STOP and give the top of the stack.

        Raises:
            MalformedArtifact: the pickle breaks a rule of its protocol.
            LimitExceeded: opcodes, memo, depth, stack, strings or integers are too many or big.
        """
        cursor, data, stop = self.cursor, self.cursor.data, ord(".")
        for _ in range(self.limits.opcodes):
            begin = cursor.position
            if begin >= len(data):
                raise cursor.fail("the pickle has no end")
            opcode = data[begin]
            cursor.position += 1
            if opcode == stop:
                if cursor.position < cursor.frame_end:
                    # CPython's two unpicklers disagree on where the next pickle begins.
                    raise cursor.fail("the pickle ends inside its frame")
                return self.pop()
            self.step(opcode)
            if len(self.stack) > self.limits.stack_items:
                raise LimitExceeded("pickle stack", self.limits.stack_items, len(self.stack))
        raise LimitExceeded("pickle opcodes", self.limits.opcodes, self.limits.opcodes + 1)

    def step(self, opcode: int) -> None:
        """Walk over one opcode that was just read, and its operands."""
        literal = LITERALS.get(opcode)
        if literal is not None:
            self.stack.append(literal(self.cursor))
            return
        step = _STEPS.get(opcode)
        if step is None:
            raise self.cursor.lose(f"unknown opcode 0x{opcode:02x}")
        step(self)

    # The memo.

    def remember(self, index: int) -> None:
        """Keep the topmost value in the memo.

        Raises:
            LimitExceeded: the index is too high, or the memo full.
            MalformedArtifact: the frame is empty.
        """
        if not 0 <= index <= self.limits.opcodes:
            # CPython allocates a table as long as the highest index.
            raise LimitExceeded("pickle memo index", self.limits.opcodes, index)
        if index not in self.memo and len(self.memo) >= self.limits.memo_entries:
            raise LimitExceeded("pickle memo", self.limits.memo_entries, len(self.memo) + 1)
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push a value of the memo.

        Raises:
            MalformedArtifact: the memo has no such entry.
        """
        if index not in self.memo:
            raise self.cursor.fail("an unknown memo entry is used")
        self.push_again(self.memo[index])

    # Globals and what would be calls.

    def push_global(self, module: str, name: str) -> None:
        """Push a placeholder for a global, and enter it in the ledger."""
        entry = self.ledger.mention(module, name)
        entry.count += 1
        entry.pushed += 1
        known = self._globals.get((module, name))
        if known is None:
            known = self._globals[module, name] = Global(module, name)
        self.stack.append(known)

    def push_again(self, value: object) -> None:
        """Push a value that was there before; a global is counted once more."""
        if isinstance(value, Global):
            self.ledger.of(value).pushed += 1
        self.stack.append(value)

    def push_persistent(self, identifier: object) -> None:
        """Push a reference to what lies outside of the pickle (torch: a storage)."""
        self.persistents.append(Persistent(identifier))
        self.stack.append(self.persistents[-1])

    def call(self, function: object, arguments: tuple[object, ...], opcode: str) -> None:
        """Note a call and push a node for its result; nothing is called.

        Raises:
            MalformedArtifact: `function` is neither a global nor a call's result.
        """
        if isinstance(function, Persistent):
            # torch's legacy format refers to the class of a module with the source beside it.
            function = module_class(function) or function
        if not isinstance(function, Global | Call):
            raise self.cursor.fail("something is called that is no function")
        if opcode == "REDUCE" and isinstance(function, Global) and is_idle(function, arguments):
            self.ledger.of(function).idle += 1
        else:
            self.ledger.use(function, opcode)
            for argument in called_in_turn(function, arguments):
                self.ledger.use(argument, "in turn")
        if isinstance(function, Global) and opcode in _MAKING:
            self._note_objects(function, arguments)
        if sets_a_tensor(function, arguments):
            raise UnsupportedFormat("unsupported-tensor", "a tensor carries tensors as attributes")
        taken = len(arguments[0]) if arguments and isinstance(arguments[0], list) else 0
        is_made = opcode in _MAKING
        made = Call(function=function, arguments=arguments, is_made=is_made, taken=taken)
        self.stack.append(made)

    def _note_objects(self, function: Global, arguments: tuple[object, ...]) -> None:
        entry = self.ledger.of(function)
        if entry.has_objects or is_idle(function, arguments):
            return
        budget = min(_PLAIN_ARGUMENTS, self._unread)
        left = is_plain(arguments, budget)
        self._unread -= budget - max(left, 0)
        entry.has_objects = left < 0

    def filled(self, opcode: str) -> Node | list[object]:
        """The container on top of the stack that an opcode is about to fill."""
        target = self.top()
        if isinstance(target, Global):
            # Filling a global is an attack on the interpreter: sys.path, os.environ, a class.
            self.ledger.use(target, opcode)
        elif isinstance(target, Call) and is_borrowed(target):
            self.ledger.use(target, opcode)
        elif isinstance(target, Call) and is_fixed(target):
            # Filling a tensor writes its values; no view on its storage would be what it seems.
            raise self.cursor.fail("a tensor is changed after it was made")
        elif isinstance(target, Node | list):
            return target
        raise self.cursor.fail("something is filled that is no container")

    def note_state(self, target: Call, state: object) -> None:
        """Note what a class does with a state that no pickler of its would give."""
        if is_partial(target.function):
            if not is_state_of_partial(target, state):
                self.ledger.use(target, "BUILD")
        elif target.is_made and not target.pairs and isinstance(target.function, Global):
            self.ledger.of(target.function).has_state = True

    def add_items(self, items: list[object], opcode: str) -> None:
        """Append to the list, set or object that lies topmost.

        Raises:
            MalformedArtifact: nothing that can be filled lies there.
        """
        target = self.filled(opcode)
        if isinstance(target, list):
            target.extend(items)
        else:
            if target.state is not None:
                # Picklers add items first: a state may have put a function
                # where "append" is looked up.
                self.ledger.use(target, opcode)
            target.add_items(items)

    def add_pairs(self, flat: list[object], opcode: str) -> None:
        """Add keys and values, in turn in `flat`, to the mapping or object that lies topmost.

        Raises:
            MalformedArtifact: nothing that can take pairs lies there, or a value is missing.
        """
        target = self.filled(opcode)
        if isinstance(target, list) or len(flat) % 2:
            raise self.cursor.fail("keys and values do not pair up")
        target.add_pairs(zip(flat[::2], flat[1::2], strict=True))


def _reduce(walker: Walker) -> None:
    arguments = walker.pop_kind(tuple, "a tuple of arguments")
    walker.call(walker.pop(), arguments, "REDUCE")


def _newobj(walker: Walker) -> None:
    arguments = walker.pop_kind(tuple, "a tuple of arguments")
    walker.call(walker.pop(), arguments, "NEWOBJ")


def _newobj_ex(walker: Walker) -> None:
    keywords = walker.pop_kind(Mapping, "a dict of keyword arguments")
    arguments = walker.pop_kind(tuple, "a tuple of arguments")
    walker.call(walker.pop(), (arguments, keywords), "NEWOBJ")


def _inst(walker: Walker) -> None:
    module, name = walker.cursor.name(), walker.cursor.name()
    arguments = tuple(walker.pop_mark())
    walker.push_global(module, name)
    walker.call(walker.pop(), arguments, "INST")


def _obj(walker: Walker) -> None:
    items = walker.pop_mark()
    if not items:
        raise walker.cursor.fail("OBJ without a class")
    walker.call(items[0], tuple(items[1:]), "OBJ")


def _build(walker: Walker) -> None:
    state = walker.pop()
    target = walker.filled("BUILD")
    if isinstance(target, list):
        raise walker.cursor.fail("a list is given a state")
    if target.state is not None:
        if hides_a_method(target.state):
            walker.ledger.use(target, "BUILD")
        # The second would hide the first from us, but both take effect on the real object.
        raise walker.cursor.fail("an object is given two states")
    if isinstance(target, Call):
        walker.note_state(target, state)
    target.state = state
    target.taken = len(state.pairs) if isinstance(state, Node) else 0


def _stack_global(walker: Walker) -> None:
    name = walker.pop_kind(str, "the name of a global")
    module = walker.pop_kind(str, "the module of a global")
    walker.push_global(module, name)


def _extension(width: int) -> Callable[[Walker], None]:
    # The extension registry of copyreg belongs to the loading process; we have none.
    return lambda walker: walker.push_global(
        "copyreg", f"extension {walker.cursor.unsigned(width)}"
    )


def _list(walker: Walker) -> None:
    items = walker.pop_mark()
    walker.push(items)


def _dict(walker: Walker) -> None:
    flat = walker.pop_mark()
    walker.push(Mapping())
    walker.add_pairs(flat, "DICT")


def _set_item(walker: Walker) -> None:
    value, key = walker.pop(), walker.pop()
    walker.add_pairs([key, value], "SETITEM")


def _tuple(count: int) -> Callable[[Walker], None]:
    def build(walker: Walker) -> None:
        if len(walker.stack) < count:
            raise walker.cursor.fail("the stack is too short for a tuple")
        items = tuple(walker.stack[-count:])
        walker.stack[-count:] = [items]

    return build


def _pop(walker: Walker) -> None:
    # POP on an empty frame removes the mark itself, as in CPython.
    if walker.stack:
        walker.stack.pop()
    else:
        walker.pop_mark()


def _pop_mark(walker: Walker) -> None:
    walker.pop_mark()


def _frame(walker: Walker) -> None:
    cursor = walker.cursor
    begin, end = cursor.position - 1, cursor.unsigned(8) + cursor.position
    if begin < cursor.frame_end or end > len(cursor.data):
        raise cursor.fail("a frame begins inside another one or reaches beyond the pickle")
    cursor.frame_end = end


def _protocol(walker: Walker) -> None:
    protocol = walker.cursor.unsigned(1)
    if protocol > 5:
        raise walker.cursor.fail(f"unknown pickle protocol {protocol}")


def _out_of_band(walker: Walker) -> None:
    raise walker.cursor.fail("the pickle refers to buffers outside of it")


_STEPS: dict[int, Callable[[Walker], None]] = {
    0x80: _protocol,
    0x95: _frame,
    ord("("): Walker.push_mark,
    ord("0"): _pop,
    ord("1"): _pop_mark,
    ord("2"): lambda walker: walker.push_again(walker.top()),
    ord("p"): lambda walker: walker.remember(walker.cursor.index()),
    ord("q"): lambda walker: walker.remember(walker.cursor.unsigned(1)),
    ord("r"): lambda walker: walker.remember(walker.cursor.unsigned(4)),
    0x94: lambda walker: walker.remember(len(walker.memo)),
    ord("g"): lambda walker: walker.recall(walker.cursor.index()),
    ord("h"): lambda walker: walker.recall(walker.cursor.unsigned(1)),
    ord("j"): lambda walker: walker.recall(walker.cursor.unsigned(4)),
    ord("c"): lambda walker: walker.push_global(walker.cursor.name(), walker.cursor.name()),
    0x93: _stack_global,
    0x82: _extension(1),
    0x83: _extension(2),
    0x84: _extension(4),
    ord("R"): _reduce,
    0x81: _newobj,
    0x92: _newobj_ex,
    ord("i"): _inst,
    ord("o"): _obj,
    ord("b"): _build,
    ord("P"): lambda walker: walker.push_persistent(walker.cursor.name()),
    ord("Q"): lambda walker: walker.push_persistent(walker.pop()),
    ord("l"): _list,
    ord("a"): lambda walker: walker.add_items([walker.pop()], "APPEND"),
    ord("e"): lambda walker: walker.add_items(walker.pop_mark(), "APPENDS"),
    ord("}"): lambda walker: walker.push(Mapping()),
    ord("d"): _dict,
    ord("s"): _set_item,
    ord("u"): lambda walker: walker.add_pairs(walker.pop_mark(), "SETITEMS"),
    0x8F: lambda walker: walker.push(Group()),
    0x90: lambda walker: walker.add_items(walker.pop_mark(), "ADDITEMS"),
    0x91: lambda walker: walker.push(Group(items=walker.pop_mark())),
    ord("t"): lambda walker: walker.push(tuple(walker.pop_mark())),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    0x97: _out_of_band,
    0x98: _out_of_band,
}
