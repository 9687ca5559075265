"""The verdict on a file that never became tensors: no torch, no inspection child.

Knows no row; the report itself is the inspector's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inspector.checkpoint import Reading
from inspector.report import static_report
from worker.translate import Translated, translate_body


def static_result(reading: Reading, request: dict[str, Any], folder: Path) -> Translated:
    """An inconclusive report that carries the reader's findings."""
    report = static_report(reading, request)
    return translate_body(json.dumps(report, indent=2).encode(), folder)
