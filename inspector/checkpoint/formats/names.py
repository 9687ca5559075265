"""Names of archive members: which ones leave their folder, and which mean one file to some readers.

Nothing is ever extracted under such a name here; but whoever unpacks the archive with other tools
must get the member that we read, in the place where we saw it. Knows no archive format.
"""

from __future__ import annotations

import re
from unicodedata import normalize

LONGEST = 1024
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.I)


def is_safe(name: str) -> bool:
    """Whether ``name`` is a relative path that every system and reader understands alike."""
    parts = name.removesuffix("/").split("/")
    return (
        len(name) <= LONGEST
        and name.isprintable()
        and "\\" not in name
        and not _DRIVE.match(name)
        and not any(part.strip(".") == "" or part[-1] in ". " for part in parts)
        and not any(_DEVICE.fullmatch(part) for part in parts)
    )


def folded(name: str) -> str:
    """What two names have in common that one file system or reader would take for one."""
    return normalize("NFC", normalize("NFC", name.removesuffix("/")).casefold())


def shown(name: str) -> str:
    """``name`` for a message: ASCII, not too long."""
    return ascii(name.encode("ascii", "backslashreplace").decode("ascii")[:200])
