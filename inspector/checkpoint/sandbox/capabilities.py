"""Giving up capabilities: what root may do beyond an ordinary user.

Knows no namespace; inside a user namespace the same call gives up what is held there.
"""

from __future__ import annotations

import os
import struct
import sys

from inspector.checkpoint.levels import refused
from inspector.checkpoint.sandbox import kernel

_LAYER = "dropped-capabilities"
_VERSION_3 = 0x20080522
_DAC_OVERRIDE = 1 << 1


def drop() -> list[str]:
    """Keep nothing; root keeps the right to read a file of another owner that it was given.

    Without it root could not read what an ordinary user has left readable for himself only.
    """
    if sys.platform != "linux":
        return []
    try:
        _keep(_DAC_OVERRIDE if os.geteuid() == 0 else 0)
    except OSError:
        # Root in a container may not have that right itself.
        try:
            _keep(0)
        except OSError as error:
            return [refused(_LAYER, error.strerror or str(error))]
    return [_LAYER]


def _keep(kept: int) -> None:
    """Make ``kept``, a mask of the capabilities 0 to 31, all that are effective and permitted."""
    header = struct.pack("=Ii", _VERSION_3, 0)
    kernel.call("capset", header, struct.pack("=6I", kept, kept, *[0] * 4))
