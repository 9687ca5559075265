"""Class lists as tokens: what explains them, what differs, what can be decoded."""

from __future__ import annotations

from inspector.clip.classlist import FixedWords, compare, decode_names, explain
from inspector.clip.suffix import FULL_STOP

CAT, DOG, PHOTO, A, RED, OF, COMMA = 2368, 1929, 1125, 320, 736, 539, 267


def test_fixed_words_are_found_around_the_names() -> None:
    prompts = [(A, PHOTO, CAT, FULL_STOP), (A, PHOTO, RED, DOG, FULL_STOP)]
    assert explain(prompts, [(CAT,), (RED, DOG)]) == FixedWords((A, PHOTO), (FULL_STOP,))
    assert explain(prompts, [(CAT,), (DOG,)]) is None


def test_a_name_that_occurs_twice_is_placed_where_it_fits_all() -> None:
    prompts = [(A, A, FULL_STOP), (A, DOG, FULL_STOP)]
    assert explain(prompts, [(A,), (DOG,)]) == FixedWords((A,), (FULL_STOP,))


def test_a_shared_article_is_not_part_of_the_names() -> None:
    assert decode_names([(A, CAT, FULL_STOP), (A, DOG, FULL_STOP)]) == ("cat", "dog")
    assert decode_names([(A, CAT, FULL_STOP)]) == ("a cat",)
    assert decode_names([(CAT,), (A, DOG, FULL_STOP)]) == ("cat", "a dog")
    shown = [(PHOTO, OF, A, CAT, COMMA, RED, FULL_STOP), (PHOTO, OF, A, DOG, COMMA, RED, FULL_STOP)]
    assert decode_names(shown) == ("cat", "dog")
    assert decode_names([(CAT, COMMA, RED), (DOG, COMMA, A)]) == ("cat , red", "dog , a")


def test_an_unstated_template_is_no_difference() -> None:
    prompts = [(A, CAT, FULL_STOP), (A, DOG, FULL_STOP)]
    expected = [(CAT, FULL_STOP), (DOG, FULL_STOP)]
    tokens = {"cat": (CAT,), "dog": (DOG,)}
    for stated, findings in ((False, []), (True, ["template-mismatch"])):
        classes = compare(
            prompts, ["cat", "dog"], expected, tokens.__getitem__, template_is_stated=stated
        )
        assert classes.match is True
        assert [finding.id for finding in classes.findings] == findings
    assert classes.to_json() == {"count": 2, "source": "manifest", "match": True}
