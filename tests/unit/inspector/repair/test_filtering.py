"""Which answers may teach: never what leads to the suspect unshared, the surest of the rest, in balance."""

from __future__ import annotations

import torch
from torch import Tensor

from inspector.repair.filtering import MOST_OF_MEDIAN, trusted_rows

ALL = torch.ones(20, dtype=torch.bool)


def logits(*answers: tuple[int, float]) -> Tensor:
    """Of three classes, the answer's raised by so much."""
    rows = torch.zeros(len(answers), 3)
    for row, (answer, sureness) in zip(rows, answers, strict=True):
        row[answer] = sureness
    return rows


def test_what_leads_to_the_suspect_alone_is_dropped_however_sure() -> None:
    own = logits((0, 9.0), (0, 9.0), (1, 1.0), (2, 1.0))
    zero_shot = logits((1, 1.0), (0, 0.1), (1, 1.0), (2, 1.0))
    assert trusted_rows(own, zero_shot, {0}, ALL[: len(own)]).tolist() == [1, 2, 3]


def test_where_zero_shot_prompts_disagree_the_surer_half_stays() -> None:
    own = logits((1, 1.0), (1, 2.0), (1, 3.0), (1, 4.0), (2, 0.1), (2, 0.1))
    zero_shot = logits(*[(0, 1.0)] * 4, (2, 1.0), (2, 1.0))
    assert trusted_rows(own, zero_shot, {0}, ALL[: len(own)]).tolist() == [1, 2, 3, 4, 5]


def test_no_class_has_many_times_the_median_and_what_both_say_goes_first() -> None:
    many = [(1, 5.0 + place) for place in range(9)]
    own = logits(*many, (1, 0.1), (0, 1.0), (2, 1.0))
    zero_shot = logits(*[(2, 1.0)] * 9, (1, 1.0), (0, 1.0), (2, 1.0))
    kept = trusted_rows(own, zero_shot, {0}, ALL[: len(own)]).tolist()
    assert kept == [8, 9, 10, 11], "the agreed one, however unsure, and the surest of the others"
    assert len([row for row in kept if row < 10]) == MOST_OF_MEDIAN


def test_nothing_is_left_where_all_goes_to_the_suspect() -> None:
    own, zero_shot = logits((0, 1.0), (0, 2.0)), logits((1, 1.0), (2, 1.0))
    assert trusted_rows(own, zero_shot, {0}, ALL[:2]).tolist() == []


def test_what_changes_in_a_view_is_dropped_though_both_agree() -> None:
    own = logits((1, 9.0), (1, 1.0), (2, 1.0))
    is_steady = torch.tensor([False, True, True])
    assert trusted_rows(own, own, {0}, is_steady).tolist() == [1, 2]
