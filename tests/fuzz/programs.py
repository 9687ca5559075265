"""Pickles by opcode: an assembler, random programs that hold together, and mutations of programs.

A byte changed at random nearly always breaks a pickle at once; here whole opcodes are moved, and
what is inserted leaves the stack as a real program would. Knows no reader.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from random import Random

from tests.fuzz.chance import NUMBERS, bytewise, number
from tests.hostile.assemble import number as integer

WORDS = (
    "ctx", "state_dict", "token_prefix", "epoch", "module.ctx", "storage", "cpu", "0", "1", "",
    "metadata", "weights", "_metadata", "__setstate__", "é", "ctx\u202e", "\n", "x" * 40,
)  # fmt: skip
GLOBALS = (
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch", "FloatStorage"),
    ("torch", "Size"),
    ("torch", "float32"),
    ("torch.storage", "UntypedStorage"),
    ("torch.optim.sgd", "SGD"),
    ("copyreg", "_reconstructor"),
    ("__builtin__", "object"),
    ("builtins", "eval"),
    ("os", "system"),
    ("torch", "_utils._rebuild_tensor_v2"),
)


def short_text(text: str) -> bytes:
    raw = text.encode("utf-8")
    return b"\x8c" + bytes([len(raw)]) + raw


def text(word: str) -> bytes:
    raw = word.encode("utf-8")
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(
    key: str, count: int, shape: tuple[int, ...], stride: tuple[int, ...], end: bytes = b""
) -> bytes:
    """The program by which torch saves a float tensor; ``end`` closes the id of its storage."""
    kept = b"(" + text("storage") + named("torch", "FloatStorage") + text(key) + text("cpu")
    kept += integer(count) + end + b"tQ"
    sizes = b"".join(b"(" + b"".join(map(integer, row)) + b"t" for row in (shape, stride))
    hooks = named("collections", "OrderedDict") + b")R"
    return (
        named("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + kept
        + b"K\x00"
        + sizes
        + b"\x89"
        + hooks
        + b"tR"
    )


def _word(rng: Random, _depth: int) -> bytes:
    word = rng.choice(WORDS)
    raw = word.encode("utf-8")
    short = bytes([len(raw)])
    return rng.choice(
        (
            short_text(word),
            text(word),
            b"\x8d" + struct.pack("<Q", len(raw)) + raw,
            b"U" + short + raw,
            b"T" + struct.pack("<I", len(raw)) + raw,
            b"C" + short + raw,
            b"B" + struct.pack("<I", len(raw)) + raw,
            b"\x8e" + struct.pack("<Q", len(raw)) + raw,
            b"\x96" + struct.pack("<Q", len(raw)) + raw,
            b"S" + repr(word).encode("utf-8") + b"\n",
            b"V" + word.encode("raw-unicode-escape") + b"\n",
        )
    )


def _scalar(rng: Random, _depth: int) -> bytes:
    value = rng.choice(NUMBERS) * rng.choice((1, 1, -1))
    line = str(value).encode()
    return rng.choice(
        (
            b"N",
            b"\x88",
            b"\x89",
            b"I01\n",
            b"I00\n",
            b"I" + line + b"\n",
            b"L" + line + b"L\n",
            b"F" + line + b".5e1\n",
            b"Fnan\n",
            b"G" + rng.randbytes(8),
            b"M" + rng.randbytes(2),
            b"\x8b" + struct.pack("<I", 3) + rng.randbytes(3),
            integer(value),
        )
    )


def _sequence(rng: Random, depth: int) -> bytes:
    items = [grown(rng, depth) for _ in range(rng.randrange(4))]
    inner = b"".join(items)
    if len(items) in (1, 2, 3) and rng.random() < 0.4:
        return inner + bytes([0x84 + len(items)])
    return rng.choice(
        (
            b"(" + inner + b"t",
            b"(" + inner + b"l",
            b"](" + inner + b"e",
            b"]" + b"".join(item + b"a" for item in items),
            b"(" + inner + b"\x91",
            b"\x8f(" + inner + b"\x90",
        )
    )


def _mapping(rng: Random, depth: int) -> bytes:
    keys = [text(rng.choice(WORDS)) if rng.random() < 0.8 else grown(rng, depth) for _ in range(2)]
    pairs = [key + grown(rng, depth) for key in keys[: rng.randrange(3)]]
    inner = b"".join(pairs)
    start = rng.choice((b"}", b"}", named("collections", "OrderedDict") + b")R"))
    return rng.choice(
        (
            b"(" + inner + b"d",
            start + b"(" + inner + b"u",
            start + b"".join(pair + b"s" for pair in pairs),
        )
    )


def _global(rng: Random, _depth: int) -> bytes:
    module, name = rng.choice(GLOBALS)
    if rng.random() < 0.6:
        return named(module, name)
    return short_text(module) + short_text(name) + b"\x93"


def _call(rng: Random, depth: int) -> bytes:
    arguments = b"".join(grown(rng, depth) for _ in range(rng.randrange(3)))
    module, name = rng.choice(GLOBALS)
    made = rng.choice(
        (
            _global(rng, depth) + b"(" + arguments + b"tR",
            _global(rng, depth) + b"(" + arguments + b"t\x81",
            _global(rng, depth) + b"(" + arguments + b"t}\x92",
            b"(" + _global(rng, depth) + arguments + b"o",
            b"(" + arguments + f"i{module}\n{name}\n".encode(),
        )
    )
    return made + grown(rng, depth) + b"b" if rng.random() < 0.3 else made


def _memory(rng: Random, depth: int) -> bytes:
    slot = rng.randrange(6)
    put, get = rng.choice(
        (
            (b"q" + bytes([slot]), b"h" + bytes([slot])),
            (b"r" + struct.pack("<I", slot), b"j" + struct.pack("<I", slot)),
            (f"p{slot}\n".encode(), f"g{slot}\n".encode()),
            (b"\x94", b"h\x00"),
        )
    )
    value = grown(rng, depth)
    return rng.choice((value + put + b"0" + get, value + put, value + b"2\x86", get))


def _tensor(rng: Random, _depth: int) -> bytes:
    made = rng.choice(
        (tensor("0", 16, (4, 4), (4, 1)), tensor("1", 4, (2,), (2,)), tensor("0", 16, (), ()))
    )
    if rng.random() < 0.4:
        hooks = named("collections", "OrderedDict") + b")R"
        made = named("torch._utils", "_rebuild_parameter") + made + b"\x88" + hooks + b"\x87R"
    return made


_KINDS: tuple[Callable[[Random, int], bytes], ...] = (
    _word, _word, _scalar, _scalar, _sequence, _mapping, _mapping, _global, _call, _memory, _tensor,
)  # fmt: skip


def grown(rng: Random, depth: int = 3) -> bytes:
    """A random program that leaves one value on the stack."""
    if depth <= 0:
        return rng.choice((_word, _scalar))(rng, 0)
    return rng.choice(_KINDS)(rng, depth - 1)


def framed(body: bytes, protocol: int = 4) -> bytes:
    """A whole pickle of ``body``, in one frame."""
    content = body + b"."
    return bytes([0x80, protocol, 0x95]) + struct.pack("<Q", len(content)) + content


def split(data: bytes) -> list[bytes]:
    """The opcodes of ``data`` with their operands; what is none comes last, as one piece."""
    starts = []
    try:
        for _opcode, _argument, position in pickletools.genops(data):
            starts.append(position or 0)
    except Exception:  # Whatever pickletools dislikes is still an input.
        pass
    if not starts:
        return [data]
    ends = [*starts[1:], len(data)]
    pieces = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    if pieces[-1][:1] == b"." and len(pieces[-1]) > 1:
        pieces[-1:] = [b".", pieces[-1][1:]]
    return pieces


def _edit(pieces: list[bytes], rng: Random) -> None:
    here = rng.randrange(len(pieces)) if pieces else 0
    there = min(len(pieces), here + rng.choice((1, 1, 1, 2, 5)))
    match rng.randrange(9):
        case 0:
            del pieces[here:there]
        case 1:
            pieces[there:there] = pieces[here:there]
        case 2:
            target = rng.randint(0, len(pieces))
            pieces[target:target] = pieces[here:there]
        case 3:
            pieces[here:here] = [grown(rng, 2), rng.choice((b"", b"0", b"a", b"s", b"b", b"\x86R"))]
        case 4 if pieces:
            # Only pieces that stand for one value are worth replacing by one.
            pieces[here] = grown(rng, 1)
        case 5:
            pieces.insert(here, rng.choice([bytes([code]) for code in b"0123()]}NabdelostuRQ"]))
        case 6:
            pieces.insert(here, bytes([rng.choice((*range(0x80, 0x99), *b"pqrghj"))]))
        case 7:
            pieces.insert(here, b"(")
            pieces.insert(min(len(pieces), there + 1), rng.choice((b"t", b"l", b"d", b"1", b"e")))
        case _ if pieces:
            old = pieces[here]
            pieces[here] = old[:1] + bytewise(old[1:], rng, 200)


def _frames(data: bytes, rng: Random) -> bytes:
    """``data`` in a frame of the right length, or of a wrong one."""
    body = b"".join(piece for piece in split(data) if piece[:1] not in (b"\x80", b"\x95"))
    length = len(body) if rng.random() < 0.6 else number(rng, 1)
    return b"\x80\x04\x95" + struct.pack("<Q", length) + body


def mutate(data: bytes, rng: Random, longest: int) -> bytes:
    """Another pickle: grown anew, framed, or ``data`` with some opcodes changed."""
    choice = rng.random()
    if choice < 0.1:
        return (rng.choice((b"", b"\x80\x02", b"\x80\x04")) + grown(rng, 4) + b".")[:longest]
    if choice < 0.15:
        return _frames(data, rng)[:longest]
    if choice < 0.25:
        return bytewise(data, rng, longest)
    pieces = split(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _edit(pieces, rng)
    return b"".join(pieces)[:longest]
