"""Embedding rows to ids and ids to text, against the real tokenizer."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest

from inspector.clip.suffix import find_altered, rows_to_tokens, tokens_to_text


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rows_come_back_exactly(kind: type[np.floating]) -> None:
    table = np.random.default_rng(0).normal(size=(500, 6)).astype(kind)
    table[7] = table[3]
    ids = np.array([[0, 499, 3], [7, 250, 250]])
    rows = table[ids]
    rows[1, 1, 5] = np.nextafter(rows[1, 1, 5], kind(9))
    assert rows_to_tokens(rows, table).tolist() == [[0, 499, 3], [3, -1, 250]]


def test_rows_that_share_their_first_numbers_are_told_apart() -> None:
    table = np.zeros((50, 8), np.float32)
    table[:, 7] = np.arange(50)
    assert rows_to_tokens(table[[4, 40]], table).tolist() == [4, 40]


@pytest.mark.parametrize("text", ["golden retriever", "café au lait", "t-shirt, 2x", "日本 🙂"])
def test_text_comes_back_and_tokenises_alike(text: str) -> None:
    tokenizer = open_clip.SimpleTokenizer()
    tokens = tokenizer.encode(text)
    assert tokens_to_text(tokens) == tokenizer.decode(tokens).strip()
    assert tokenizer.encode(tokens_to_text(tokens)) == tokens


def test_only_one_end_of_text_and_padding_is_unaltered() -> None:
    good = np.array([[320, 49407, 0, 0], [5, 6, 49407, 0]])
    assert find_altered(good) is None
    for column, token in ((3, 9), (2, 49407), (1, -1), (1, 7)):
        bad = good.copy()
        bad[0, column] = token
        finding = find_altered(bad)
        assert finding is not None and finding.id == "token-suffix-altered"
