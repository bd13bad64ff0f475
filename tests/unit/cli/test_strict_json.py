"""Strict JSON: other text is neither read nor written, and no part of a value is lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.cli import strict_json
from crdtkv.cli.strict_json import Lossy, NoJson

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(DOCUMENTS)
def test_what_is_written_is_read_and_shows_nothing_a_terminal_acts_on(document: Any) -> None:
    for text in (strict_json.dumps(document), strict_json.dumps(document, is_ascii=True)):
        assert text.isprintable()
        assert strict_json.loads(text) == json.loads(text) == document


@pytest.mark.parametrize("text", ["", "x", "NaN", "-Infinity", "{'a': 1}", "[1,]", '{"a": 1, "a": 2} x'])
def test_what_is_no_json_is_told(text: str) -> None:
    with pytest.raises(NoJson):
        strict_json.loads(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 1}', 'the name "a" is there twice'),
        ('[{"b": {"\\u0061": 1, "a": 2}}]', 'the name "a" is there twice'),
        ("1e400", "the number 1e400 is too large"),
        ("[-1e999]", "the number -1e999 is too large"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
    ids=str,
)
def test_json_that_cannot_be_kept_is_told(text: str, why: str) -> None:
    with pytest.raises(Lossy, match=why):
        strict_json.loads(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        strict_json.dumps([number])
