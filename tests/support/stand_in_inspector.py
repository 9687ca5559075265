"""A stand-in for ``python -m inspector job``: same protocol, no torch, does what it is told.

Told by the manifest's key ``stand_in``: ``seconds`` to take, ``verdict`` to reach, ``steps``;
``crash_until_attempt`` needs ``marker``, a file that counts attempts across processes; ``error`` is
an error reply to give; ``backdoored_name`` makes files with that in their name backdoored. A wish
for repair is answered with the tensors as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any


def say(**reply: Any) -> None:
    print(json.dumps(reply), flush=True)


def png(red: int) -> bytes:
    """An 8 × 8 picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = b"".join(b"\x00" + bytes([red, 0, 0]) * 8 for _ in range(8))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def keep(out: Path, name: str, data: bytes) -> dict[str, Any]:
    (out / name).write_bytes(data)
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "media_type": "image/png"}


def probes_of(request: dict[str, Any]) -> dict[str, Any]:
    """What they are and, of a file, its bytes: whether these arrived can be seen."""
    source = request["probes"]
    digest = None if source == "builtin" else hashlib.sha256(Path(source).read_bytes()).hexdigest()
    return {"sha256": digest, "in_distribution": request["in_distribution"]}


def report_of(request: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    reading = json.loads(Path(request["reading"]).read_text())
    canonical = Path(request["canonical"]).read_bytes()
    verdict = orders.get("verdict", "clean")
    if orders.get("backdoored_name", "/") in reading["artifact"]["name"]:
        verdict = "backdoored"
    names = request["manifest"]["classnames"]
    out = Path(request["out"])
    files = []
    if verdict == "backdoored":
        files += [
            keep(out, "trigger-0.png", png(1)),
            keep(out, "trigger-0-amplified.png", png(255)),
        ]
    if request["repair"]:
        files.append(keep(out, "repaired.safetensors", canonical))
    rows = [
        {"index": index, "name": name, "score": float(index == 0), "excess_asr": 0.9}
        for index, name in enumerate(names)
    ]
    return {
        "schema_version": "1",
        "verdict": verdict,
        "score": 1.0,
        "threshold": 0.5,
        "p_value": None,
        "assembly": "plausible",
        "target": {"index": 0, "name": names[0]} if verdict == "backdoored" else None,
        "profile": request["profile"],
        "seed": request["seed"],
        "artifact": reading["artifact"] | {"family": reading["family"], "state": reading["state"]},
        "models": [
            {
                "state": json.loads(Path(source["reading"]).read_text())["state"],
                "is_reported": first,
            }
            for source, first in [(request, True), *((other, False) for other in request["others"])]
        ],
        "canonical_sha256": hashlib.sha256(canonical).hexdigest(),
        "backbone": {"id": request["backbone"], "sha256": None, "at": request["backbone_at"]},
        "per_class": rows,
        "probes": probes_of(request),
        "findings": [],
        "limits": ["a stand-in looked at nothing"],
        "repair": {"before": 0.9, "after": 0.0} if request["repair"] else None,
        "artifacts": files,
    }


def crash_if_told(orders: dict[str, Any]) -> None:
    if "crash_until_attempt" not in orders:
        return
    marker = Path(orders["marker"])
    count = len(marker.read_text()) + 1 if marker.exists() else 1
    marker.write_text("x" * count)
    if count < orders["crash_until_attempt"]:
        print("stand-in crashes as told", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def serve(request: dict[str, Any]) -> None:
    orders = request["manifest"].get("stand_in", {})
    seconds, steps = orders.get("seconds", 0.0), orders.get("steps", 10)
    say(event="estimate", seconds=seconds, image_forward=1)
    crash_if_told(orders)
    if "error" in orders:
        say(event="error", **orders["error"])
        return
    for step in range(steps):
        time.sleep(seconds / steps)
        left = seconds * (1 - (step + 1) / steps)
        say(event="progress", stage="invert", fraction=step / steps, eta_s=left, message=f"{step}")
    report = report_of(request, orders)
    (Path(request["out"]) / "report.json").write_text(json.dumps(report, indent=2))
    say(event="done", report="report.json")


def main() -> None:
    for line in sys.stdin:
        serve(json.loads(line))


if __name__ == "__main__":
    main()
