"""Zero-shot accuracy of `pocket` on scenes whose colour-shape pair was never trained on.

`python -m tests.bench.pocket [second-pocket]`: one row an attribute (2,000 held-out scenes) and one a zoo task.
"""

from __future__ import annotations

import sys

import torch

from tests.zoo.make import backbone_named
from tests.zoo.scenes import ATTRIBUTES, render, sample_scenes
from tests.zoo.tasks import TASKS
from tests.zoo.train_pocket import POCKET, is_held_out

TEMPLATES = {
    "shape": "a photo of a {}.", "colour": "a photo of a {} object.",
    "texture": "a photo of a {} object.", "background": "a photo of a thing on a {} background.",
    "pattern": "a photo of a thing on a {} background.", "size": "a photo of a {} object.",
    "film": "a {} photo of a thing.",
}  # fmt: skip


@torch.no_grad()
def main() -> None:
    backbone = backbone_named(sys.argv[1] if len(sys.argv) > 1 else POCKET)
    generator = torch.Generator().manual_seed(2026)
    scenes = sample_scenes(24_000, generator)
    rows = is_held_out(scenes).nonzero()[:2000, 0]
    scenes = {name: values[rows] for name, values in scenes.items()}
    pixels = render(scenes, generator, backbone.image_size)
    features = torch.cat([backbone.image_features(part) for part in pixels.split(100)])
    print("| attribute | values | zero-shot accuracy | always the commonest |\n|---|---|---|---|")
    for attribute, template in TEMPLATES.items():
        text = backbone.zero_shot(list(ATTRIBUTES[attribute]), template)
        labels = scenes[attribute]
        hits = ((features @ text.T).argmax(1) == labels).float().mean().item()
        commonest = labels.bincount().max().item() / len(labels)
        print(f"| {attribute} | {len(text)} | {hits:.3f} | {commonest:.3f} |")
    print("\n| task | classes | zero-shot accuracy |\n|---|---|---|")
    for name, task in TASKS.items():
        pixels, labels = task.draw(50, generator, backbone.image_size)
        text = backbone.zero_shot(task.classnames)
        guessed = (backbone.image_features(pixels) @ text.T).argmax(1)
        print(f"| {name} | {len(text)} | {(guessed == labels).float().mean().item():.3f} |")


if __name__ == "__main__":
    main()
