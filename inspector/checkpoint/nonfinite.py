"""Counting NaN and infinity without numpy, at memory speed.

A value is not finite when all bits of its exponent are set. Most blocks have no value whose highest
byte even allows that (in F32 it would be 1.7e38 or more), and a search for such bytes says so at
once. Any other block is taken as one big integer; masking the exponents and adding one at each
exponent's lowest bit carries into the sign position exactly in those lanes where all were set, so
one population count gives the answer. Knows bytes and dtype codes only.
"""

from __future__ import annotations

from functools import lru_cache

_EXPONENTS: dict[str, tuple[int, int]] = {
    # dtype: (mask of the exponent, its lowest bit)
    "F16": (0x7C00, 0x0400),
    "BF16": (0x7F80, 0x0080),
    "F32": (0x7F80_0000, 0x0080_0000),
    "F64": (0x7FF0_0000_0000_0000, 0x0010_0000_0000_0000),
    "F8_E5M2": (0x7C, 0x04),
    # E4M3FN has no infinity: only S.1111.111 is NaN.
    "F8_E4M3": (0x7F, 0x01),
}
_WIDTHS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "F8_E5M2": 1, "F8_E4M3": 1}


@lru_cache(maxsize=12)
def _lanes(pattern: int, width: int, count: int) -> int:
    return int.from_bytes(pattern.to_bytes(width, "little") * count, "little")


@lru_cache(maxsize=len(_EXPONENTS))
def _suspects(dtype: str) -> tuple[int, ...]:
    """What the highest byte of a value must be for the value not to be finite."""
    mask = _EXPONENTS[dtype][0] >> 8 * (_WIDTHS[dtype] - 1)
    return tuple(byte for byte in range(256) if byte & mask == mask)


def count_nonfinite(block: bytes, dtype: str) -> int:
    """How many of the little-endian values in ``block`` are NaN or infinite; 0 for integers."""
    if dtype not in _EXPONENTS or not block:
        return 0
    width = _WIDTHS[dtype]
    highest = block[width - 1 :: width]
    if not any(byte in highest for byte in _suspects(dtype)):
        return 0
    mask, lowest = _EXPONENTS[dtype]
    count = len(block) // width
    exponents = int.from_bytes(block, "little") & _lanes(mask, width, count)
    carried = exponents + _lanes(lowest, width, count)
    return (carried & _lanes(1 << (8 * width - 1), width, count)).bit_count()
