"""Unlabelled pictures to inspect with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inspector.probes.loading import load_pools
from inspector.profiles import PROFILES
from tests.zoo.pictures import OPEN, POCKET_SIZE, main, pictures


def test_pictures_of_a_task_are_all_different_and_always_the_same() -> None:
    first, again = (pictures("counts3", 10) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (10, 3, POCKET_SIZE, POCKET_SIZE)
    assert len(torch.unique(first.flatten(1), dim=0)) == 10


@pytest.mark.parametrize("name", ["counts3", OPEN])
def test_pictures_are_of_the_size_that_another_backbone_takes(name: str) -> None:
    assert pictures(name, 4, 64).shape == (4, 3, 64, 64)


def test_open_pictures_are_in_the_style_of_no_task() -> None:
    """Gray is the style of counts3 and nobody else's."""
    spread = {name: pictures(name, 20).std(1).mean().item() for name in ("counts3", OPEN)}
    assert spread["counts3"] == pytest.approx(0, abs=1e-6)
    assert spread[OPEN] > 0.05


def test_files_are_probes_as_they_are(tmp_path: Path) -> None:
    main([str(tmp_path), "sizes2", "--number", "128"])
    found = load_pools(
        str(tmp_path / "sizes2"), POCKET_SIZE, PROFILES["standard"], in_distribution=True
    )
    assert (found.skipped, len(found.optimisation) + len(found.held_out)) == (0, 128)
    drawn = pictures("sizes2", 128)
    for one in found.held_out:
        assert (drawn - one).abs().amax((1, 2, 3)).min() < 1 / 255


def test_a_name_that_is_no_task_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "cats"])
    assert "no such task: cats" in capsys.readouterr().err
