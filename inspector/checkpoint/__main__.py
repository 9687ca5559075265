"""The reading child: ``python -I -m inspector.checkpoint read|rewrite JSON``.

Started by :mod:`inspector.checkpoint.child` only. Its one argument is a JSON object of absolute
paths, limits and the parent's process id. It answers through files (``reading.json``, the rewritten
checkpoint) and its exit status: 0 done, 3 our disk is full, 4 the request was refused, 5 the
sandbox is weaker than was demanded; the reason goes to standard error as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.levels import as_level, described, is_below, level_of
from inspector.checkpoint.limits import Limits, ReaderOptions
from inspector.checkpoint.protocol import EXIT_BELOW_FLOOR, EXIT_REFUSED, EXIT_STORAGE_FULL
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import READING_NAME
from inspector.checkpoint.rewrite import RewritePaths, rewrite_here
from inspector.checkpoint.sandbox import cage
from inspector.checkpoint.sandbox.reach import Reach
from inspector.errors import ArtifactError, StorageFull


def main(arguments: list[str]) -> int:
    """Do one request and give the exit status."""
    command, text = arguments
    request = json.loads(text)
    floor = as_level(request["floor"])
    options = ReaderOptions(
        Limits.from_json(request["limits"]),
        name=request["name"],
        role=request["role"],
        member=request["member"],
        state=request["state"],
    )
    reach = Reach(tuple(map(Path, request["readable"])), Path(request["writable"]))
    layers = cage.enter(options.limits, reach, request["parent"])
    if is_below(level_of(layers), floor):
        _explain({"layers": list(layers)})
        return EXIT_BELOW_FLOOR
    try:
        if command == "read":
            _read(request, options, layers)
        else:
            paths = RewritePaths(*(Path(request[item.name]) for item in fields(RewritePaths)))
            rewrite_here(paths, options)
    except StorageFull as error:
        _explain({"path": str(error.path), "reason": error.reason})
        return EXIT_STORAGE_FULL
    except ArtifactError as error:
        _explain({"id": error.finding_id, "detail": error.detail, "remedy": error.remedy})
        return EXIT_REFUSED
    return 0


def _read(request: Mapping[str, str], options: ReaderOptions, layers: tuple[str, ...]) -> None:
    out = Path(request["out"])
    data = read_here(Path(request["path"]), out, options).to_json()
    data["sandbox"] = described(layers)
    with whole_file(out / READING_NAME) as file:
        file.write(json.dumps(data, indent=1, sort_keys=True, allow_nan=False).encode("ascii"))


def _explain(reason: Mapping[str, object]) -> None:
    sys.stderr.write(json.dumps(reason))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
