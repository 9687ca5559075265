"""Target ``pickle``: the walker, the judgement on globals, and the state_dict of what was walked.

Promise: any bytes end in a value or an ``ArtifactError``; what the walker accepts, both of CPython's
unpicklers understand in the same way, or refuse. Limits are lowered so that small inputs reach them.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from random import Random

from inspector.checkpoint import content, states
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.globals import summarise
from inspector.checkpoint.pickles.inert import Call, Global, Group, Mapping, Persistent
from inspector.checkpoint.pickles.rebuild import declared_storages
from inspector.checkpoint.pickles.walker import Ledger, Walked, walk
from inspector.checkpoint.tensors import Storage
from inspector.errors import ArtifactError
from tests.fuzz import programs
from tests.fuzz.target import Disagreement, Target, check_refusal
from tests.fuzz.unpicklers import ATOMS, Bag, Kept, Made, Pairs, Testimony, by_c, by_python

LIMITS = Limits(
    opcodes=3000, memo_entries=60, mark_depth=30, stack_items=300, string_bytes=500,
    integer_bytes=40, globals=12, tensors=6, dimensions=3,
)  # fmt: skip
STORAGES = {"0": Storage(0, 64), "1": Storage(64, 16)}


def check(data: bytes) -> bool:
    """Walk ``data`` and compare with CPython; True when the walker accepts it."""
    ledger = Ledger(LIMITS.globals)
    walked = None
    try:
        walked = walk(data, ledger, LIMITS)
        declared_storages(walked.persistents)
        states.choose_state(content.of_pickle(walked.value, STORAGES, LIMITS), None, LIMITS)
    except ArtifactError as error:
        check_refusal(error)
    uses, _findings = summarise(ledger)
    if walked is None:
        return False
    if sum(use.count for use in uses) != sum(entry.count for entry in ledger.entries.values()):
        raise Disagreement("the summary forgets a global")
    slow = by_python(data)
    if slow is not None:
        _compare(walked, ledger, slow)
        fast = by_c(data) if slow.is_plain else None
        if fast is not None:
            _compare(walked, ledger, fast)
    return True


def _compare(walked: Walked, ledger: Ledger, testimony: Testimony) -> None:
    named = {key: entry.count for key, entry in ledger.entries.items() if entry.count}
    if named != dict(testimony.named):
        raise Disagreement(f"globals: {named} or {dict(testimony.named)}")
    if walked.end != testimony.end:
        raise Disagreement(f"the pickle ends at {walked.end} or {testimony.end}")
    waiting: list[tuple[object, object]] = [(walked.value, testimony.value)]
    seen: set[tuple[int, int]] = set()
    # What is made on the way must stay alive, or another object gets its id.
    alive: list[list[tuple[object, object]]] = []
    while waiting:
        ours, theirs = waiting.pop()
        if (id(ours), id(theirs)) in seen:
            continue
        seen.add((id(ours), id(theirs)))
        found = _parts(ours, theirs)
        if found is None:
            raise Disagreement(f"{_shown(ours)} or {_shown(theirs)}")
        alive.append(found)
        waiting.extend(found)


def _parts(ours: object, theirs: object) -> list[tuple[object, object]] | None:
    """What must agree for the two to agree; None when they do not."""
    if isinstance(ours, Global):
        same = isinstance(theirs, type) and getattr(theirs, "origin", None) == (
            ours.module, ours.name
        )  # fmt: skip
        return [] if same else None
    if isinstance(ours, Persistent):
        return [(ours.identifier, theirs.identifier)] if isinstance(theirs, Kept) else None
    if isinstance(ours, Mapping):
        return _pairs_of_mapping(ours, theirs)
    if isinstance(ours, Group):
        return _items_of_group(ours, theirs)
    if isinstance(ours, Call):
        return _parts_of_call(ours, theirs) if isinstance(theirs, Made) else None
    if isinstance(ours, list | tuple):
        return _zipped(ours, theirs) if type(theirs) is type(ours) else None
    if isinstance(theirs, bytearray):
        theirs = bytes(theirs)
    return [] if type(ours) is type(theirs) and _atom(ours) == _atom(theirs) else None


def _pairs_of_mapping(ours: Mapping, theirs: object) -> list[tuple[object, object]] | None:
    if isinstance(theirs, Pairs):
        return _zipped(ours.pairs, theirs.pairs)
    if not isinstance(theirs, dict):
        return None
    folded = dict(ours.pairs)
    return _zipped(list(folded.items()), list(theirs.items()))


def _items_of_group(ours: Group, theirs: object) -> list[tuple[object, object]] | None:
    if isinstance(theirs, Bag):
        return _zipped(ours.items, theirs.items)
    # Not compared by value: NaN is equal to nothing.
    same = isinstance(theirs, set | frozenset) and len(set(ours.items)) == len(theirs)
    return [] if same else None


def _parts_of_call(ours: Call, theirs: Made) -> list[tuple[object, object]] | None:
    states = [] if ours.state is None else [ours.state]
    # A state of None is set as well, and changes nothing.
    given = [state for state in theirs.states if state is not None]
    rows = (
        ([ours.function, ours.arguments], [theirs.function, theirs.arguments]),
        (ours.pairs, theirs.pairs),
        (ours.items, theirs.items),
        (states, given),
    )
    result = []
    for left, right in rows:
        zipped = _zipped(left, right)
        if zipped is None:
            return None
        result += zipped
    return result


def _zipped(ours: object, theirs: object) -> list[tuple[object, object]] | None:
    left = list(ours) if isinstance(ours, Iterable) else []
    right = list(theirs) if isinstance(theirs, Iterable) else []
    return list(zip(left, right, strict=True)) if len(left) == len(right) else None


def _atom(value: object) -> object:
    if not isinstance(value, ATOMS):
        raise Disagreement(f"the walker made a {type(value).__name__}")
    return struct.pack("<d", value) if isinstance(value, float) else value


def _shown(value: object) -> str:
    return (
        f"{type(value).__name__} {value!a}"[:200] if isinstance(value, ATOMS) else str(type(value))
    )


def seeds() -> list[bytes]:
    """Plain values in all protocols, state_dicts of every shape, and a program per opcode."""
    plain: MappingType[str, object] = {
        "epoch": 10, "val": None, "rate": -0.002, "on": [True, False], "big": -(2**70),
        "text": "é\n", "raw": b"\x00\xff", "set": {1, 2}, "frozen": frozenset({"a"}),
        "nest": [[], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}], "array": bytearray(b"ab"),
    }  # fmt: skip
    found = [pickle.dumps(plain, protocol) for protocol in range(6)]
    found += [pickle.dumps([value] * 2, 4) for value in plain.values()]
    tensor = programs.tensor("0", 16, (4, 4), (4, 1))
    entries = b"(" + programs.text("ctx") + tensor + b"u"
    ordered = programs.named("collections", "OrderedDict") + b")R"
    bare = b"\x80\x02" + ordered + entries + b"."
    whole = b"\x80\x02}(" + programs.text("state_dict") + ordered + entries
    whole += programs.text("epoch") + b"K\x0au."
    lora = b"\x80\x02}(" + programs.text("metadata") + b"}" + programs.text("weights")
    lora += b"}(" + programs.text("layer") + b"}(" + programs.text("q") + b"}" + entries + b"uuu."
    live = programs.named("torch.optim.sgd", "SGD") + b")\x81}(" + programs.text("a") + b"K\x01ub"
    found += [bare, whole, lora, b"\x80\x02" + live + b".", programs.framed(live)]
    rng = Random(0)
    found += [b"\x80\x04" + programs.grown(rng, depth % 4) + b"." for depth in range(40)]
    return found


TARGET = Target("pickle", seeds, check, programs.mutate, longest=1024)
