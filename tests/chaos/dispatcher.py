"""The inspection child of a run: a stand-in where the manifest tells one what to do, the real one otherwise.

Speaks the protocol of ``python -m inspector job`` and is started in its place; the real inspection runs in
this very process, by the same function.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support import stand_in_inspector

_ROOT = Path(__file__).resolve().parents[2]


def command() -> list[str]:
    """What ``CLIPVET_INSPECTOR_COMMAND`` is set to; its text tells such a child in the process table."""
    start = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from {__name__} import main; main()"
    return [sys.executable, "-I", "-c", start]


def main() -> None:
    # As in the real one: what libraries print must not mix with replies.
    replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = replies

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    load = None
    for line in sys.stdin:
        request = json.loads(line)
        if "stand_in" in request["manifest"]:
            stand_in_inspector.serve(request)
            continue
        # Only now: torch takes seconds to load, and most children never need it.
        from inspector.run import serve

        load = load or serve.WarmBackbone()
        serve.serve(line, reply, load)
