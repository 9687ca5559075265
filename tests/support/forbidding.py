"""An interpreter that runs where some system calls are forbidden, as in a strict container.

The prohibition is real: a filter that makes the calls fail with EPERM, put on before Python is
started again, and inherited by every process from then on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from inspector.checkpoint.sandbox import kernel, seccomp

_SCRIPT = """#!{python} -I
import os, sys
from tests.support.forbidding import forbid
forbid({calls!r})
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NO_NEW_PRIVS = 38


def interpreter(folder: Path, *calls: str) -> Path:
    """A program in ``folder`` to be used like ``sys.executable``; the ``calls`` fail in it."""
    path = folder / f"python-without-{'-'.join(calls)}"
    root = Path(__file__).parents[2]
    text = _SCRIPT.format(python=sys.executable, calls=calls)
    path.write_text(
        text.replace("import os, sys\n", f"import os, sys\nsys.path.append({str(root)!r})\n")
    )
    path.chmod(0o755)
    return path


def forbid(calls: tuple[str, ...]) -> None:
    """Make ``calls`` fail in this process and in all that it starts."""
    code: list[seccomp.Instruction] = [(_LOAD, 0, 0, 0)]
    for name in calls:
        code += [(_EQUAL, 0, 1, kernel.machine().numbers[name]), (_RETURN, 0, 0, seccomp.DENY)]
    kernel.control(_NO_NEW_PRIVS, 1, name="no-new-privileges")
    seccomp.install((*code, (_RETURN, 0, 0, seccomp.ALLOW)))
