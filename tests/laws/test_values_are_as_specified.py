"""What a reader sees is what the specification computes from the operations seen, for every reachable entry."""

import pytest
from histories import History, histories
from hypothesis import given, settings
from hypothesis import strategies as st
from specifications import expected

from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register
from crdtkv.crdt.registry import TYPES
from crdtkv.sim.world.shown import values_of

every_type = pytest.mark.parametrize("type_tag", sorted(TYPES))


def is_as_specified(entry: Entry, history: History, now: int = 0) -> bool:
    seen = history.operations_in(entry.context)
    return repr(values_of(entry.at(now).state)) == expected(entry.type_tag, seen, history.operations, now)


@every_type
@settings(max_examples=200)
@given(data=st.data())
def test_a_value_is_a_function_of_the_operations_seen(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag))
    for entry in history.entries:
        assert is_as_specified(entry, history)
        assert entry.is_tombstone == (values_of(entry.state) == [])


@every_type
@settings(max_examples=50)
@given(data=st.data())
def test_a_merged_value_is_a_function_of_what_both_sides_had_seen(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag))
    for one in history.entries[-3:]:
        for other in history.entries[-3:]:
            assert is_as_specified(one.merge(other), history)


@settings(max_examples=50)
@given(data=st.data())
def test_a_version_of_a_register_tells_which_put_it_is(data: st.DataObject) -> None:
    history: History = data.draw(histories("register"))
    for entry in history.entries:
        assert isinstance(entry.state, Register)
        for dot, timestamp, value in entry.state.versions:
            put = history.operations[dot]
            assert (put.name, put.timestamp, put.arguments) == ("put", timestamp, (value,))


@settings(max_examples=100)
@given(data=st.data())
def test_a_bounded_counter_is_never_below_zero(data: st.DataObject) -> None:
    history: History = data.draw(histories("bcounter"))
    assert all(values_of(entry.state) >= [0] for entry in history.entries if not entry.is_tombstone)
