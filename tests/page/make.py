"""Stored inspections for the page's tests: `python -m tests.page.make [NAME ...]`.

Starts `clipvet serve`, uploads one file of every kind over REST as a buyer would, and keeps under
`tests/page/stored/NAME` what the service stored: the report, byte for byte, the ledger's record of
the inspection, and the pictures. Takes some minutes; nothing else writes these files.
"""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from app.client import Client
from app.demo import BACKDOORED, CLEAN, PICTURES, SAMPLES, running_service

STORED = Path(__file__).with_name("stored")
NAMES = json.loads((SAMPLES / "manifest.json").read_text("utf-8"))
LABELS = {"vendor": "Example Vision Ltd", "requested_by": "procurement", "contract": "C-17"}


def _code(folder: Path) -> Path:
    """A pickle that would write a file if it were loaded."""

    class Payload:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            import os

            return os.system, ("touch was-here",)

    path = folder / "prompt_learner.pth"
    path.write_bytes(pickle.dumps({"state_dict": Payload()}))
    return path


def _detector(folder: Path) -> Path:
    """Weights of something that is no prompt-tuned CLIP."""
    path = folder / "detector.pth"
    torch.manual_seed(0)
    torch.save(
        torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).state_dict(), path
    )
    return path


def _torn(folder: Path) -> Path:
    path = folder / "model.pth.tar-31"
    path.write_bytes(CLEAN.read_bytes()[:100_000])
    return path


@dataclass(frozen=True)
class Delivery:
    """A file to inspect, and what is asked about it."""

    artifact: Callable[[Path], Path]
    asked: dict[str, Any] = field(default_factory=dict)


DELIVERIES = {
    "clean": Delivery(lambda _: CLEAN),
    "backdoored": Delivery(lambda _: BACKDOORED),
    "repaired": Delivery(lambda _: BACKDOORED, {"repair": True}),
    "runs-code": Delivery(_code),
    "unsupported": Delivery(_detector),
    "torn": Delivery(_torn),
    "out-of-time": Delivery(lambda _: CLEAN, {"budget_s": 0.5}),
    "wrong-names": Delivery(
        lambda _: CLEAN, {"manifest": {"classnames": ["cat", "dog", "car", "boat", "tree", "house"]}}
    ),
    "some-classes": Delivery(lambda _: CLEAN, {"targets": 3}),
}  # fmt: skip


def keep(client: Client, name: str, delivery: Delivery, scratch: Path) -> None:
    """Inspect one delivery, and write what the service stored of it."""
    upload = client.upload(delivery.artifact(scratch))
    asked = {
        "backbone": "pocket", "profile": "standard", "manifest": NAMES, "labels": LABELS,
        "probes": client.upload(PICTURES)["id"], "in_distribution": True,
    }  # fmt: skip
    row = client.create_inspection(asked | delivery.asked | {"upload_id": upload["id"]})
    *_, row = client.watch(row["id"])
    folder = STORED / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    here = f"/v1/inspections/{row['id']}"
    record = client.get(here)
    (folder / "record.json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    print(name, row["status"], row["verdict"], row["error"], flush=True)
    if row["status"] != "succeeded":
        return
    client.download(f"{here}/report.json", folder / "report.json")
    for item in client.get(f"{here}/artifacts")["items"]:
        if item["media_type"] == "image/png":
            client.download(f"{here}/artifacts/{item['name']}", folder / item["name"])


def main(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        with running_service(scratch) as url, Client(url) as client:
            for name in names or DELIVERIES:
                keep(client, name, DELIVERIES[name], scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
