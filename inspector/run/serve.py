"""The warm child of a worker: one inspection request a line in, JSON lines out, until end of input.

Keeps torch and one backbone loaded between requests. Opens canonical tensors, readings, backbones
and probes, never an upload. A trouble with the customer's file or request is a report; `error`
means our own fault, or a machine that ran out of something. Whatever libraries print goes to
standard error, because standard output belongs to the protocol.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.registry import locate
from inspector.errors import DISK_IS_FULL, MACHINE_LACKS, InspectorError, RequestError
from inspector.files import write_json
from inspector.report import refused_report
from inspector.request import Request
from inspector.run.deliveries import Source, inspect_models
from inspector.run.pipeline import REPORT_NAME

Reply = Callable[[dict[str, Any]], None]
_OURS = ("device", "calibrations")
"""Fields of a request that are the worker's own settings."""


class WarmBackbone:
    """Keeps the last backbone, until another one is asked for or one of its files changes."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._backbone: Backbone | None = None

    def __call__(self, spec: str, device: str, at: str | None = None) -> Backbone:
        """Raises BackboneError and TransientError, as `load_backbone` does."""
        key = (spec, at, device, locate(spec, at).stamp)
        if self._backbone is None or key != self._key:
            self._backbone = None  # Two at once may not fit in memory.
            self._backbone, self._key = load_backbone(spec, device, at=at), key
        return self._backbone


def main() -> None:
    """Serve requests from standard input."""
    replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    load = WarmBackbone()
    logging.basicConfig(format="%(name)s: %(message)s")
    for line in sys.stdin:
        if line.strip():
            serve(line, reply, load)


def serve(line: str, reply: Reply, load: WarmBackbone) -> None:
    """Answer one request with its events and one `done` or `error`."""
    try:
        data = json.loads(line)
        load_here = partial(load, at=data.get("backbone_at") or data["backbone"])
        reading, canonical = _source(data)
        others = [_source(other) for other in data.get("others", ())]
        out = Path(data["out"])
        out.mkdir(parents=True, exist_ok=True)
        try:
            inspect_models(
                Request.from_json(data), [(reading, canonical), *others], out, reply, load_here
            )
        except RequestError as problem:
            if problem.field in _OURS:
                raise
            report = refused_report(reading, data, problem)
            write_json(out / REPORT_NAME, report)
        reply({"event": "done", "report": REPORT_NAME})
    except Exception as problem:  # the worker must hear of it, whatever it is
        traceback.print_exc()
        reply({"event": "error"} | _fault(problem))


def _source(data: Mapping[str, Any]) -> Source:
    """A reading and its canonical tensors. Raises ValueError for what is no reading."""
    reading = Reading.from_json(json.loads(Path(data["reading"]).read_text("utf-8")))
    return reading, Path(data["canonical"]) if data["canonical"] else None


def _fault(problem: Exception) -> dict[str, str]:
    """Kind, code and message of an `error` reply."""
    match problem:
        case InspectorError():
            return _said(problem.kind, _snake(type(problem).__name__), str(problem))
        case torch.OutOfMemoryError() | MemoryError():
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return _said("retry", "out_of_memory", "the machine has too little memory for this")
        case OSError() if problem.errno in DISK_IS_FULL:
            return _said("retry", "disk_full", "the worker's disk is full")
        case OSError() if problem.errno in MACHINE_LACKS:
            return _said("retry", "machine_exhausted", type(problem).__name__)
        case _:
            # What libraries say names files of this machine; the traceback is in the log.
            return _said("bug", "internal_error", type(problem).__name__)


def _said(kind: str, code: str, message: str) -> dict[str, str]:
    return {"kind": kind, "code": code, "message": message}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
