"""Where tokens stand, and prompts that cannot be laid out."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.prompts import lay_out, tokenise
from inspector.errors import AssemblyError
from inspector.manifest import Position


@pytest.mark.parametrize(
    ("position", "slots"), [("end", [1, 2, 3]), ("front", [3, 4, 5]), ("middle", [1, 4, 5])]
)
def test_slots(position: Position, slots: list[int], vit: Backbone) -> None:
    layout = lay_out(vit, ["golden retriever"], "X X X {}.", 3, position)
    assert layout.slots.tolist() == [slots]
    assert layout.end.tolist() == [7]
    assert layout.base.shape == (1, 8, 64)


def test_context_vectors_fill_their_slots_in_order(vit: Backbone) -> None:
    layout = lay_out(vit, ["cat", "golden retriever"], "X X X {}.", 3, "middle")
    context = torch.arange(3.0)[:, None].expand(3, 64)
    embedded, end = layout.fill(context)
    assert embedded[0, [1, 3, 4], 0].tolist() == [0, 1, 2]
    assert embedded[1, [1, 4, 5], 0].tolist() == [0, 1, 2]
    assert end.tolist() == [6, 7]


def test_a_prompt_may_fill_the_whole_context_length_but_no_more(vit: Backbone) -> None:
    fitting = " ".join(["cat"] * 70)
    tokens = tokenise(vit, [fitting], "X X X X {}.", 4)
    assert int(tokens.ids.argmax(1)) == 76
    with pytest.raises(AssemblyError, match="does not fit 77 tokens"):
        tokenise(vit, [fitting + " cat"], "X X X X {}.", 4)


def test_more_vectors_than_place_holders(vit: Backbone) -> None:
    with pytest.raises(AssemblyError, match="has 2 tokens before the class, the file has 4"):
        lay_out(vit, ["cat"], "X X {}.", 4)


def test_braces_in_names_are_only_characters(vit: Backbone) -> None:
    plain = tokenise(vit, ["a {0} b"], "X {}.", 1)
    assert torch.equal(plain.ids, vit.tokenizer(["X a {0} b."]))
