"""The inert pickle machine: it sees what CPython would build, within limits, and builds nothing."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections import OrderedDict
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.evidence import would_run
from inspector.checkpoint.pickles.inert import Call, Global, Group, Mapping
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.errors import LimitExceeded, MalformedArtifact
from tests.hostile.assemble import CTX, call, mapping, named, program, text

LIMITS = Limits()


def walked(data: bytes, limits: Limits = LIMITS) -> object:
    return walk(data, Ledger(limits.globals), limits).value


def plain(value: object) -> object:
    """An inert value as the Python value that it describes."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.pairs}
    if isinstance(value, Group):
        return {plain(item) for item in value.items}
    if isinstance(value, Call) and isinstance(value.function, Global):
        name = value.function.dotted
        if name == "collections.OrderedDict":
            return OrderedDict((plain(key), plain(item)) for key, item in value.pairs)
        arguments = value.arguments
        assert isinstance(arguments, tuple)
        if name == "_codecs.encode":
            return arguments[0].encode(arguments[1])
        items = [plain(item) for item in arguments[0]] if arguments else []
        return {"set": set, "frozenset": frozenset, "bytearray": bytearray, "bytes": bytes}[
            value.function.name
        ](items)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=300)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4).map(OrderedDict)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(value=values, protocol=st.integers(0, 5))
def test_sees_what_pickle_wrote(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol=protocol)
    assert plain(walked(data)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_shared_and_recursive_objects(protocol: int) -> None:
    loop: list[object] = [1]
    loop.append(loop)
    value = walked(pickle.dumps(loop, protocol=protocol))
    assert isinstance(value, list)
    assert value[1] is value


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.binary(max_size=60))
def test_any_bytes_end_in_a_defined_way(data: bytes) -> None:
    with contextlib.suppress(MalformedArtifact, LimitExceeded):
        walked(data)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(value=values, protocol=st.integers(0, 5), where=st.floats(0, 1), byte=st.integers(0, 255))
def test_one_changed_byte_ends_in_a_defined_way(
    value: object, protocol: int, where: float, byte: int
) -> None:
    data = bytearray(pickle.dumps(value, protocol=protocol))
    data[int(where * (len(data) - 1))] = byte
    with contextlib.suppress(MalformedArtifact, LimitExceeded):
        walked(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x06N.",
        b"\x80\x02]",
        b".",
        b"N0.",
        b"\xff.",
        b"h\x05.",
        b"K.",
        b"X\xff\x00\x00\x00abc.",
        b"I12x\n.",
        b"I" + b"1" * 2000 + b"\n.",
        b"Fnope\n.",
        b"S'open\n.",
        b"Nt.",
        b"NR.",
        b"N)R.",
        b"cos",
        b"\x97.",
        b"NNs.",
        b"(Nd.",
        b"]}b.",
    ],
)
def test_malformed_pickles(data: bytes) -> None:
    with pytest.raises(MalformedArtifact) as caught:
        walked(data)
    assert caught.value.finding_id == "pickle-malformed"


@pytest.mark.parametrize(
    ("data", "limits", "resource"),
    [
        (b"N0" * 60 + b"N.", {"opcodes": 100}, "pickle opcodes"),
        (b"(" * 60 + b".", {"mark_depth": 50}, "pickle depth"),
        (b"N" * 60 + b".", {"stack_items": 50}, "pickle stack"),
        (b"N" + b"\x94" * 60 + b".", {"memo_entries": 50}, "pickle memo"),
        (b"X\x40\x00\x00\x00" + b"x" * 64 + b".", {"string_bytes": 50}, "pickle string bytes"),
        (b"\x8e" + b"\xff" * 8 + b".", {}, "pickle string bytes"),
        (b"\x8b\xff\xff\xff\x00.", {}, "pickle integer bytes"),
        (b"ca\nb\nca\nc\nca\nd\n.", {"globals": 2}, "globals"),
    ],
)
def test_limits(data: bytes, limits: dict[str, int], resource: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        walked(data, replace(LIMITS, **limits))
    assert caught.value.resource == resource
    assert caught.value.actual > caught.value.limit


def test_the_ledger_survives_an_aborted_walk() -> None:
    ledger = Ledger(10)
    with pytest.raises(MalformedArtifact):
        walk(b"cos\nsystem\n(tR\xff", ledger, LIMITS)
    entry = ledger.entries["os", "system"]
    assert (entry.count, entry.uses) == (1, {"REDUCE"})


def test_nesting_without_end_costs_nothing() -> None:
    """A tuple in a tuple, 100,000 deep: nobody recurses, nobody hashes."""
    value = walked(b"\x80\x02)" + b"\x85" * 100_000 + b"}X\x01\x00\x00\x00kNs\x86.")
    assert isinstance(value, tuple)


def test_the_end_is_reported() -> None:
    assert walk(b"N.rest", Ledger(1), LIMITS).end == 2


_NUMBERS = st.sampled_from([b"", b"0x", b"0o", b"0b", b"1e", b"1_", b"0", b"-", b"9" * 20, b"1e30"])
_LETTERS = st.binary(max_size=5).map(
    lambda raw: bytes(b"0123456789xXoObBaAfFL_+-. \t\r\v\fenEinfINFty\0"[byte % 41] for byte in raw)
)


def loaded(unpickler: type, data: bytes) -> str | None:
    """What one of CPython's unpicklers makes of numbers; None when it refuses them."""
    try:
        return repr(unpickler(io.BytesIO(data)).load())
    except (ValueError, OverflowError, KeyError, TypeError, pickle.UnpicklingError):
        return None


@settings(deadline=None, derandomize=True, max_examples=1000)
@given(opcode=st.sampled_from(b"ILF"), begin=_NUMBERS, rest=_LETTERS)
@example(opcode=ord("I"), begin=b"0x", rest=b"10")
@example(opcode=ord("I"), begin=b"0", rest=b"10")
@example(opcode=ord("I"), begin=b"0", rest=b"1")
@example(opcode=ord("I"), begin=b"+", rest=b"1")
@example(opcode=ord("F"), begin=b"1e", rest=b"999")
def test_numbers_are_read_as_cpython_reads_them(opcode: int, begin: bytes, rest: bytes) -> None:
    """By both of its unpicklers alike; where they differ, the number is refused."""
    data = bytes([opcode]) + begin + rest + b"\n."
    slow = loaded(pickle._Unpickler, data)
    fast = loaded(pickle.Unpickler, data)
    try:
        ours = repr(walked(data))
    except MalformedArtifact:
        ours = None
    assert ours == (slow if slow == fast else None)


def test_the_index_of_a_memo_entry_is_decimal() -> None:
    assert walked(b"Np010\n0g10\n.") is None


def test_what_stands_behind_an_error_is_named() -> None:
    ledger = Ledger(10)
    with pytest.raises(MalformedArtifact):
        walk(b"h\x09cposix\nsystem\n(S'x'\ntR.", ledger, LIMITS)
    assert ledger.entries["posix", "system"].uses == {"REDUCE"}


def test_an_honest_pickle_that_is_cut_off() -> None:
    """Cut off anywhere, it is broken and accuses nobody."""
    whole = program(
        mapping(
            (text("args"), call("functools", "partial", named("torch.optim.sgd", "SGD"))),
            (text("kind"), call("builtins", "getattr", named("aaa.o", "Kind"), text("VIT"))),
            (text("ctx"), CTX),
        )
    )
    for end in range(len(whole)):
        ledger = Ledger(50)
        with contextlib.suppress(MalformedArtifact, LimitExceeded):
            walk(whole[:end], ledger, LIMITS)
        assert not would_run(ledger), end
