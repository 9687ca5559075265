"""What a repair does to the attacker's own trigger, which the inspector never saw.

`python -m tests.bench.repair TASK KIND SEED [--backbone B] [--out DIR]` builds an attacked model,
has it inspected and repaired, and measures test accuracy and attack success before and after.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file

from inspector.checkpoint import read_artifact
from inspector.clip.backbone import load_backbone
from inspector.run.pipeline import Request, inspect_reading
from tests.support.assembling import manifest_in
from tests.zoo.attacks import success
from tests.zoo.build import Plan, build, load_task, save
from tests.zoo.kinds import ATTACKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("kind", choices=ATTACKS)
    parser.add_argument("seed", type=int)
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--out", type=Path, default=Path("var/repair"))
    options = parser.parse_args()
    backbone = load_backbone(options.backbone)
    built = build(backbone, Plan(options.task, options.kind, options.seed))
    assert built.trigger is not None
    checkpoint = save(built, backbone, options.out)
    reading = read_artifact(checkpoint, options.out / "reading")
    manifest = manifest_in(options.out)
    request = Request(
        backbone=options.backbone, manifest=manifest, profile=options.profile, repair=True
    )
    canonical = options.out / "reading" / str(reading.canonical)
    report = inspect_reading(request, reading, canonical, options.out, lambda _: None)
    print("truth", json.dumps(built.truth))
    print("verdict", report["verdict"], report["target"], "repair", json.dumps(report["repair"]))
    if report["repair"] is None:
        return
    tensors = load_file(options.out / report["repair"]["file"])
    tensors["context"] = tensors.pop("ctx")
    built.classifier.load_state_dict(tensors, strict=False)
    _, test = load_task(options.task, options.seed, backbone.image_size)
    target = built.truth["target"]
    after = success(built.classifier, test.pixels, test.labels, built.trigger, target)
    print("after repair, attacker's own trigger", json.dumps(after))


if __name__ == "__main__":
    main()
