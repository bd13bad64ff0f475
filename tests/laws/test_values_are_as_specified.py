"""What a reader sees is what the specification computes from the operations seen, for every reachable entry."""

import pytest
from histories import History, histories
from hypothesis import given, settings
from hypothesis import strategies as st
from specifications import SPECIFICATIONS

from crdtkv.crdt.registry import TYPES

every_type = pytest.mark.parametrize("type_tag", sorted(TYPES))


@every_type
@settings(max_examples=200)
@given(data=st.data())
def test_a_value_is_a_function_of_the_operations_seen(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag))
    specification = SPECIFICATIONS[type_tag]
    for entry in history.entries:
        expected = specification.expected(history.operations_in(entry.context), history.operations)
        assert specification.actual(entry.state) == expected
        assert entry.is_tombstone == expected[0]


@every_type
@settings(max_examples=50)
@given(data=st.data())
def test_a_merged_value_is_a_function_of_what_both_sides_had_seen(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag))
    for one in history.entries[-3:]:
        for other in history.entries[-3:]:
            merged = one.merge(other)
            seen = history.operations_in(merged.context)
            assert SPECIFICATIONS[type_tag].actual(merged.state) == SPECIFICATIONS[type_tag].expected(
                seen, history.operations
            )
