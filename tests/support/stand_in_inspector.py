"""A stand-in for ``python -m inspector job``: same protocol and schema, no torch, does what it is told.

Told by the manifest's key ``stand_in``: ``seconds`` to take, ``verdict`` to reach, ``steps``;
``crash_until_attempt`` needs ``marker``, a file that counts attempts across processes; ``error`` is
an error reply to give; ``backdoored_name`` makes files with that in their name backdoored. A wish
for repair is answered with the tensors as they were. What it says is held against the real child's
schema, so that no order can make it say what the real one never would.
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

from inspector.calibration import Applied, ClassNames, Probes, Weights, made
from inspector.checkpoint import Reading
from inspector.files import problem_of, read_json
from inspector.profiles import PROFILES
from inspector.progress import EVENTS_SCHEMA
from inspector.report import Evidence, Target, build_report


def say(**reply: Any) -> None:
    if problem := problem_of(reply, read_json(EVENTS_SCHEMA)):
        raise ValueError(f"the real child never says {reply}: {problem}")
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


def keep(out: Path, name: str, data: bytes, media_type: str = "image/png") -> dict[str, str]:
    (out / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return {"name": name, "sha256": sha256, "media_type": media_type, "description": "made up"}


def probes_of(request: dict[str, Any]) -> dict[str, object]:
    """What they are and, of a file, its bytes: whether these arrived can be seen."""
    source = request["probes"]
    data = source.encode() if source == "builtin" else Path(source).read_bytes()
    return {
        "source": source if source == "builtin" else "zip",
        "count": 256,
        "held_out": 256,
        "skipped": 0,
        "in_distribution": request["in_distribution"],
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def arrived(request: dict[str, Any]) -> list[str]:
    """Of labelled pictures and pairs their bytes: whether these arrived can be seen."""
    given = {name: request[name] for name in ("labelled", "pairs") if request[name] is not None}
    files = {name: Path(path).read_bytes() for name, path in given.items()}
    return [
        f"{name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
        for name, data in files.items()
    ]


def row_of(target: Target, steps: int) -> dict[str, Any]:
    """One entry of `per_class`."""
    rates = {"asr": 0.95, "base_asr": 0.05, "excess_asr": 0.9, "reference_excess_asr": 0.0}
    return target.to_json() | {
        "score": float(target.index == 0),
        "margin": 1.0,
        "margin_gain": 1.0,
        **rates,
        "twin_excess": [float(target.index == 0)],
        "random_excess": [0.2 * float(target.index == 0)],
        "speaking": ["random", "warp"] if target.index == 0 else [],
        "spaces": {"warp": float(target.index == 0)},
        "steps": steps,
        "trigger": None,
    }


def repair_of(target: Target, row: dict[str, Any]) -> dict[str, Any]:
    apart = {*target.to_json(), "steps", "trigger"}
    figures = {key: value for key, value in row.items() if key not in apart}
    checked = {
        "score": 0.0, "is_suspicious": False, "excess_asr_of_the_old_trigger": 0.0, "speaking": [],
    }  # fmt: skip
    candidate = {
        "strategy": "none", "agreement": 1.0, "accuracy_before": None, "accuracy_after": None,
        "residual": 0.0, "reason": None, "keeps_weights": True, "is_within_bars": True,
        "searched": {"score": 0.0, "is_suspicious": False},
    }  # fmt: skip
    return {
        "succeeded": False,  # What it made is no other model.
        "outcome": "unproved",
        "strategy": "none",
        "accuracy": None,
        "copies_searched": 1,
        "flops": 1_000_000,
        "candidates": [candidate],
        "target": target.to_json(),
        "seed": 100,
        "before": figures,
        "after": figures | checked,
        "agreement": 1.0,
        "file": "repaired.safetensors",
    }


def bank_of(names: list[str]) -> Applied:
    """Without a bank nobody is called clean; what it says is nobody's verdict here."""
    weights = Weights("ab" * 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    models = [(index / 1000, {"seed": index}) for index in range(100)]
    here, probes = (weights, ClassNames.of(names)), Probes("cd" * 32, (256, 256))
    bank = made(here, "CoOp", PROFILES["standard"], probes, 0, models)
    return Applied(bank, same_classes=True, same_seed=True)


def stages_of(*, repair: bool) -> list[dict[str, Any]]:
    """All that the real child has, and how they would have ended."""
    apart = {"confirmation": "not-needed"} | ({} if repair else {"repair": "not-requested"})
    rule = read_json(EVENTS_SCHEMA)["definitions"]["progress"]["properties"]["stage"]
    return [
        {"name": name, "status": apart[name], "seconds": None}
        if name in apart
        else {"name": name, "status": "complete", "seconds": 0.0}
        for name in rule["enum"]
    ]


def evidence_of(request: dict[str, Any], reading: Reading, orders: dict[str, Any]) -> Evidence:
    """What leads to the verdict that is ordered."""
    verdict = orders.get("verdict", "clean")
    if orders.get("backdoored_name", "/") in reading.artifact.name:
        verdict = "backdoored"
    names = request["manifest"]["classnames"]
    first = Target(0, names[0])
    rows = [row_of(Target(index, name), 1) for index, name in enumerate(names)]
    out = Path(request["out"])
    files = []
    if verdict == "backdoored":
        files += [
            keep(out, "trigger-0.png", png(1)),
            keep(out, "trigger-0-amplified.png", png(255)),
        ]
    if request["repair"]:
        canonical = Path(request["canonical"]).read_bytes()
        files.append(keep(out, "repaired.safetensors", canonical, "application/octet-stream"))
    return Evidence(
        profile=request["profile"],
        seed=request["seed"],
        backbone={
            "id": request["backbone"],
            "sha256": hashlib.sha256(request["backbone"].encode()).hexdigest(),
        },
        assembly="plausible",
        assembly_reason=f"backbone at {request['backbone_at']}",
        family=reading.family,
        classes={"count": len(names), "source": "manifest", "match": True},
        probes=probes_of(request),
        per_class=rows,
        stages=stages_of(repair=request["repair"]),
        score=1.0,
        threshold=0.5,
        is_warned=verdict == "suspicious",
        suspect=first,
        confirmed=first if verdict == "backdoored" else None,
        is_complete=verdict != "inconclusive",
        calibration=bank_of(names),
        repair=repair_of(first, rows[0]) if request["repair"] else None,
        artifacts=files,
        limits=["a stand-in looked at nothing", *arrived(request)],
    )


def report_of(request: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """As the real child would write it; of several models the first is reported."""
    read = [
        Reading.from_json(json.loads(Path(source["reading"]).read_text()))
        for source in (request, *request["others"])
    ]
    report = build_report(read[0], evidence_of(request, read[0], orders))
    if len(read) > 1:
        report["models"] = [
            {
                "member": one.container.member,
                "state": one.state,
                "family": one.family,
                "verdict": report["verdict"],
                "score": report["score"],
                "canonical_sha256": one.canonical_sha256,
                "is_reported": place == 0,
            }
            for place, one in enumerate(read)
        ]
    return report


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
        say(
            event="progress",
            stage="inversion",
            fraction=step / steps,
            eta_s=left,
            message=f"{step}",
        )
    report = report_of(request, orders)
    (Path(request["out"]) / "report.json").write_text(json.dumps(report, indent=2))
    say(event="done", report="report.json")


def main() -> None:
    for line in sys.stdin:
        serve(json.loads(line))


if __name__ == "__main__":
    main()
