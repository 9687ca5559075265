"""What the reader takes out of a mutated torch file, torch's own restricted loader takes out as well.

Where torch refuses, nobody is misled; where it reads, names, dtypes, shapes and bits must agree. It
runs on files only (a whole reader and torch's), so it is slow and no fuzz target.
"""

from __future__ import annotations

import io
from random import Random

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from tests.fuzz import readers

_EXECUTIONS, _COMPARED = 1000, 150


def by_torch(data: bytes) -> dict[str, Tensor] | None:
    """The state_dict as Dassl would load it; None when torch refuses the file."""
    try:
        content = torch.load(io.BytesIO(data), weights_only=True)
        state = content.get("state_dict", content)
        # torch may return views that its own operators refuse.
        return {
            key.removeprefix("module."): value.detach().contiguous()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }
    except Exception:
        return None


def bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    raw = tensor.contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, raw.numpy().tobytes()


def mutated(corpus: list[bytes], rng: Random) -> bytes:
    return readers.mutate(rng.choice(corpus), rng, readers.TARGET.longest)


def is_same(theirs: dict[str, Tensor]) -> bool:
    ours = load(readers.canonical())
    return {key: bits(value) for key, value in ours.items()} == {
        key: bits(value) for key, value in theirs.items()
    }


@pytest.mark.filterwarnings("ignore")
def test_torch_reads_the_same_tensors() -> None:
    rng = Random(4)
    corpus = readers.seeds()[:2]
    compared = 0
    for _ in range(_EXECUTIONS):
        data = mutated(corpus, rng)
        if data[:2] not in (b"PK", b"\x80\x02") or not readers.check(data):
            continue
        theirs = by_torch(data)
        if theirs is not None:
            assert is_same(theirs), data.hex()
            compared += 1
            corpus.append(data)
    assert compared >= _COMPARED


@pytest.mark.filterwarnings("ignore")
def test_a_difference_is_noticed() -> None:
    seed = readers.seeds()[0]
    theirs = by_torch(seed)
    assert readers.check(seed)
    assert theirs is not None and is_same(theirs)
    theirs["ctx"] = theirs["ctx"] + 1
    assert not is_same(theirs)
