"""What people call a CLIP backbone, and the one name that it is known by.

The service answers a wrong name at once, the inspection resolves a right one; both ask here, so
that they cannot disagree. Knows names only: no file, no network, no tensor. Standard library only.
"""

from __future__ import annotations

from inspector.names.spelling import BUILT_IN, Named, UnknownName, split_pin, understand

__all__ = ["BUILT_IN", "Named", "UnknownName", "split_pin", "understand"]
