"""The last net: no import, compilation, process or socket by Python code after the lock.

The reader does none of these; code that a hostile file smuggled in would. Native code passes
underneath, which is what the other layers are for.
"""

from __future__ import annotations

import sys

_FORBIDDEN_EVENTS = (
    "import", "compile", "exec", "marshal.", "pickle.", "os.system", "os.exec", "os.fork",
    "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.", "socket.", "ctypes.", "code.",
    "pty.", "shutil.", "webbrowser.", "urllib.",
)  # fmt: skip


def refuse_by_audit() -> list[str]:
    """From here on the forbidden events raise ``RuntimeError``; this cannot be taken back."""
    sys.addaudithook(_refuse)
    return ["audit-hook"]


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event.startswith(_FORBIDDEN_EVENTS):
        raise RuntimeError(f"the reader must not do this: {event}")
