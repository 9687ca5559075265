"""Mutations that know no format, and the numbers at which parsers break.

Plain random numbers instead of a fuzzer's own mutations, so that a test can repeat them.
"""

from __future__ import annotations

from random import Random

NUMBERS = (
    0, 1, 2, 3, 7, 8, 20, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x1_0000,
    0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF, 0x1_0000_0000, 2**53, 2**62, 2**63 - 1,
    2**63, 2**64 - 1,
)  # fmt: skip


def number(rng: Random, width: int) -> int:
    """A number that fits ``width`` bytes, unsigned; often one at which something overflows."""
    if rng.random() < 0.6:
        return rng.choice(NUMBERS) % (1 << 8 * width)
    return rng.getrandbits(8 * rng.randint(1, width))


def poke(data: bytes, offset: int, width: int, rng: Random) -> bytes:
    """``data`` with another little-endian number at ``offset``: far away, or near the old one."""
    old = int.from_bytes(data[offset : offset + width], "little")
    new = old + rng.choice((-2, -1, 1, 2)) if rng.random() < 0.4 else number(rng, width)
    return (
        data[:offset] + (new % (1 << 8 * width)).to_bytes(width, "little") + data[offset + width :]
    )


def bytewise(data: bytes, rng: Random, longest: int) -> bytes:
    """One to four edits of single bytes, numbers or stretches."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        here = rng.randint(0, len(data))
        there = min(len(data), here + rng.choice((1, 1, 2, 4, 8, 30)))
        match rng.randrange(6):
            case 0:
                data = data[:here] + rng.randbytes(rng.choice((1, 1, 2, 4))) + data[here:]
            case 1:
                data = data[:here] + data[there:]
            case 2:
                data = data[:there] + data[here:there] + data[there:]
            case 3 if here < len(data):
                data = poke(data, here, 1, rng)
            case 4:
                width = rng.choice((2, 4, 8))
                if here + width <= len(data):
                    data = poke(data, here, width, rng)
            case _ if here < len(data):
                flipped = bytes([data[here] ^ (1 << rng.randrange(8))])
                data = data[:here] + flipped + data[here + 1 :]
    return data[:longest]
