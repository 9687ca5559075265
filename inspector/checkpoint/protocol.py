"""The numbers by which the reading child and its parent understand each other."""

from __future__ import annotations

EXIT_STORAGE_FULL = 3
EXIT_REFUSED = 4
EXIT_BELOW_FLOOR = 5
