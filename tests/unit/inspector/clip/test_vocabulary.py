"""Token ids from hashes of rows: exact in every precision, silent about what is no row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from inspector.clip.naming import token_embedding
from inspector.clip.registry import REGISTERED, locate
from inspector.clip.vocabulary import SHIPPED, build_index, load_index, save_index, shipped_indexes
from inspector.clip.weightfiles import sha256_of_weights
from inspector.errors import BackboneError, RequestError

WIDTH = 8


def table_of(kind: type[np.floating[Any]]) -> NDArray[Any]:
    return np.random.default_rng(5).normal(size=(300, WIDTH)).astype(kind)


@pytest.mark.parametrize("stored", [np.float16, np.float32])
@pytest.mark.parametrize("delivered", [np.float16, np.float32, np.float64])
def test_rows_are_named_in_every_precision(
    stored: type[np.floating[Any]], delivered: type[np.floating[Any]]
) -> None:
    table = table_of(stored)
    ids = np.array([[0, 299, 3], [7, 250, 250]])
    rows = table[ids].astype(delivered)
    assert build_index("b", "", table).tokens_of(rows).tolist() == ids.tolist()


def test_a_changed_row_has_no_token() -> None:
    table = table_of(np.float16)
    rows = table[[4, 5, 6]].astype(np.float32)
    rows[1, 3] = np.nextafter(table[5, 3], np.float16(9))
    rows[2] = 1e30
    assert build_index("b", "", table).tokens_of(rows).tolist() == [4, -1, -1]


def test_rows_of_another_backbone_have_no_token() -> None:
    other = np.random.default_rng(6).normal(size=(100, WIDTH))
    assert (build_index("b", "", table_of(np.float16)).tokens_of(other) == -1).all()


def test_a_table_whose_rows_cannot_be_told_apart_has_no_index() -> None:
    table = table_of(np.float32)
    table[9] = np.nextafter(table[2], np.float32(9))
    with pytest.raises(BackboneError, match="cannot be told apart"):
        build_index("b", "", table)


def test_an_index_is_small_and_reads_back_alike(tmp_path: Path) -> None:
    made = build_index("ViT-X/tag", "ab12", table_of(np.float16))
    first, second = tmp_path / "a", tmp_path / "b"
    save_index(made, first)
    save_index(made, second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 300 * 6 + 512
    again = load_index(first)
    assert (again.name, again.sha256, again.width) == ("ViT-X/tag", "ab12", WIDTH)
    assert (again.hashes == made.hashes).all()


def test_what_is_no_index_says_so(tmp_path: Path) -> None:
    junk, other, wrong = tmp_path / "junk", tmp_path / "other", tmp_path / "wrong"
    junk.write_bytes(b"no safetensors")
    hashes = np.zeros((5, 6), np.uint8)
    save_file({"hashes": hashes}, other)
    stated = {"clipvet-token-index-1": '{"name": "b", "sha256": "", "width": 8}'}
    save_file({"hashes": hashes[:, :5].copy()}, wrong, stated)
    for path in (junk, other, wrong, tmp_path / "absent"):
        with pytest.raises(RequestError, match="no token index"):
            load_index(path)


def test_every_registered_backbone_comes_with_its_index() -> None:
    shipped = {index.name: index for index in shipped_indexes()}
    assert shipped.keys() >= REGISTERED.keys()
    for name in REGISTERED:
        sha256 = sha256_of_weights(locate(name))
        made = build_index(name, sha256, token_embedding(name))
        assert shipped[name].sha256 == made.sha256
        assert (shipped[name].hashes == made.hashes).all()
    assert all(path.stat().st_size < 300_000 for path in SHIPPED.iterdir())
