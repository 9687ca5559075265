"""Regular expressions of a file: the same matches as Python's, none of its endless ones."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.checkpoint.families.patterns import Fuel, Pattern, UnreadablePattern

MODULES = (
    "vision_model.encoder.layers.11.self_attn.q_proj",
    "text_model.encoder.layers.0.mlp.fc1",
    "visual_projection",
)
ATOMS = st.sampled_from(
    ["a", "b", ".", r"\.", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[a-b1]", "[]a]", "[a.-]", "[^]-]",
     "^", "$", "1", "-", "{", "{}", r"\-"]
)  # fmt: skip
SUFFIXES = st.sampled_from(["", "", "", "*", "+", "?", "*?", "{2}", "{1,2}", "{,2}", "{2,}", "{0}"])
EXPRESSIONS = st.recursive(
    st.builds(str.__add__, ATOMS, SUFFIXES),
    lambda inner: st.one_of(
        st.builds("({}){}".format, inner, SUFFIXES),
        st.builds("(?:{}){}".format, inner, SUFFIXES),
        st.builds("{}|{}".format, inner, inner),
        st.builds("(?={}){}".format, inner, inner),
        st.builds("(?!{}){}".format, inner, inner),
        st.lists(inner, max_size=4).map("".join),
    ),
    max_leaves=8,
)


@settings(max_examples=600, derandomize=True, database=None, deadline=None)
@given(expression=EXPRESSIONS, text=st.text("ab1.-]{", max_size=7))
def test_what_matches_is_what_python_says(expression: str, text: str) -> None:
    """What Python takes for no expression at all, PEFT cannot load either."""
    try:
        python = re.compile(expression)
        found = Pattern(expression, Fuel()).is_all(text)
    except (re.error, UnreadablePattern):
        return
    assert found is (python.fullmatch(text) is not None)


@pytest.mark.parametrize(
    "expression",
    [
        r".*\.(q_proj|v_proj)", "vision_model.*", r"^(?!text_model).*q_proj$", "all-linear",
        r"(vision|text)_model\.encoder\.layers\.(0|1[01]|[5-9])\..*_proj", r".*\.fc\d", ".*",
        r"vision_model\.encoder\.layers\.\d+\.self_attn\.[qkv]_proj", ".*projection",
    ],
)  # fmt: skip
@pytest.mark.parametrize("module", MODULES)
def test_expressions_that_people_write_are_read(expression: str, module: str) -> None:
    found = Pattern(expression, Fuel()).is_all(module)
    assert found is (re.fullmatch(expression, module) is not None)


@pytest.mark.parametrize(
    "expression",
    [
        r"(a)\1", "(?i)a", "(?<=a)b", "(?P<n>a)", "a*+", "(?>a)", "(", "a)", "[a", "a\\", "*a",
        "a{99999}", "[b-a]", r"[\w-z]", "(" * 60 + ")" * 60, "a" * 3000, r"\bq", r"\Z", "a**",
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused(expression: str) -> None:
    with pytest.raises(UnreadablePattern):
        Pattern(expression, Fuel())


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+b", "(a*)*b", "(a|a)*b", "(.*a){25}b", "((((a?){99}){99}){99}){99}b",
        "(?=" * 20 + ".*" + ".*)" * 20, "(?!(?!(?!.*.*.*).*.*).*.*)a", "(a|aa)+" * 20,
    ],
)  # fmt: skip
def test_nothing_keeps_it_busy(expression: str) -> None:
    started = time.monotonic()
    try:
        Pattern(expression, Fuel(200_000)).is_all("a" * 60)
    except UnreadablePattern as problem:
        assert "take too long" in str(problem)
    assert time.monotonic() - started < 5
