"""Prefixed identifiers on UUID version 7 (RFC 9562 §5.7): sortable by time of creation.

``insp_0192f0c1…``: the prefix says what it is, the order says when. Knows no table.
"""

from __future__ import annotations

import secrets
import time
from typing import Literal

Prefix = Literal["upl", "insp", "evt", "whe", "del", "req", "wrk", "pol"]


def new_id(prefix: Prefix) -> str:
    """``<prefix>_`` and 32 hexadecimal digits: 48 bits of milliseconds, then 74 random ones."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{prefix}_{value:032x}"
