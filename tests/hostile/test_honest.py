"""What is read is what torch reads: every honest file of the corpus, value by value.

Only files that this suite has made itself are given to torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from tests.hostile.entry import Entry
from tests.hostile.honest_files import ENTRIES


def loaded(path: Path) -> Mapping[str, Tensor]:
    if path.read_bytes()[8:9] == b"{":
        return safetensors.torch.load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=False)
    return content.get("state_dict", content.get("model", content))  # type: ignore[no-any-return]


@pytest.mark.parametrize("entry", [pytest.param(row, id=row.id) for row in ENTRIES])
def test_torch_reads_the_same(entry: Entry, tmp_path: Path) -> None:
    path = entry.build(tmp_path)
    (tmp_path / "out").mkdir()
    reading = read_here(path, tmp_path / "out", ReaderOptions())
    read = safetensors.torch.load_file(tmp_path / "out" / str(reading.canonical))
    if reading.container.outer is not None:
        # The archives hold the very files that the folder holds; torch cannot open them.
        path = tmp_path / "run" / "prompt_learner" / "model-best.pth.tar"
        assert reading.container.member is not None
        assert reading.container.member.endswith("prompt_learner/model-best.pth.tar")
    expected = {
        name.removeprefix("module."): tensor.detach()
        for name, tensor in loaded(path).items()
        if isinstance(tensor, Tensor)
    }
    assert set(read) == set(expected)
    for name, tensor in expected.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor), name
