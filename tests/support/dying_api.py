"""``python -m tests.support.dying_api PORT MARKER``: an API that stands still inside its first ``POST /v1/uploads``.

The row of the upload has been written to the database and nothing is committed; MARKER is made then, so
that a test knows when to kill. While MARKER is there, it is the API as it is.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from app.serving import run_api
from app.settings import Settings
from app.uploads import service


def main() -> None:
    port, marker = int(sys.argv[1]), Path(sys.argv[2])
    begin = service.begin

    def slow(*given: Any) -> Any:
        upload = begin(*given)
        marker.touch()
        time.sleep(60)
        return upload

    if not marker.exists():
        service.begin = slow  # type: ignore[assignment]
    run_api(Settings(), "127.0.0.1", port)


if __name__ == "__main__":
    main()
