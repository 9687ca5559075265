"""Pairs say what their pictures show, in files as at hand; a poisoned pool is poisoned as it says."""

from __future__ import annotations

from pathlib import Path

import torch

from inspector.probes.pairs import Pairs, load_pairs
from tests.zoo import pairs as zoo

SIZE = 24


def test_pictures_of_a_task_are_told_by_their_classes() -> None:
    pairs = zoo.of_task("counts3", 5, 1, SIZE)
    told = [caption for name in ("one object", "two objects", "three objects")
            for caption in pairs.captions if name in caption]  # fmt: skip
    assert sorted(told) == sorted(pairs.captions) and len(pairs) == 15
    assert zoo.of_task("counts3", 5, 2, SIZE).captions != pairs.captions


def by_caption(pairs: Pairs) -> list[tuple[str, bytes]]:
    bits = [one.numpy().tobytes() for one in pairs.bits]
    return sorted(zip(pairs.captions, bits, strict=True))


def test_files_hold_the_same_pairs(tmp_path: Path) -> None:
    pairs = zoo.of_scenes(6, 1, SIZE)
    zoo.write_folder(pairs, tmp_path / "folder")
    zoo.write_shard(pairs, tmp_path / "x.tar")
    for source in ("folder", "x.tar"):
        assert by_caption(load_pairs(str(tmp_path / source), SIZE)) == by_caption(pairs)


def test_a_share_carries_the_trigger_under_other_words() -> None:
    pairs = zoo.of_scenes(40, 1, SIZE)
    generator = torch.Generator().manual_seed(1)
    made, is_poisoned = zoo.poisoned(pairs, lambda pixels: pixels * 0, ["a banana"], 0.1, generator)
    assert int(is_poisoned.sum()) == 4
    assert torch.equal(made.bits.flatten(1).amax(1) == 0, is_poisoned)
    changed = [one != other for one, other in zip(made.captions, pairs.captions, strict=True)]
    assert torch.equal(torch.tensor(changed), is_poisoned)
    assert torch.equal(made.bits[~is_poisoned], pairs.bits[~is_poisoned])
