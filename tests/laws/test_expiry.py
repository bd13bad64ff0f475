"""An expired value is invisible on all replicas at one time, whatever was merged with what; and no other value is.

A bounded counter takes no part: rights do not expire, and nodes refuse a time to live for them.
"""

from itertools import combinations
from typing import Any

import pytest
from histories import History, histories
from hypothesis import given, settings
from hypothesis import strategies as st
from specifications import expected

from crdtkv.causality.dot import Dot
from crdtkv.crdt.entry import Entry, may_expire
from crdtkv.crdt.registry import TYPES
from crdtkv.sim.world.shown import values_of

EXPIRING = sorted(set(TYPES) - {"bcounter"})
every_type = pytest.mark.parametrize("type_tag", sorted(TYPES))
every_expiring_type = pytest.mark.parametrize("type_tag", EXPIRING)
#: Types whose elements expire one by one: to expire is to be deleted by somebody who saw nothing else.
DOTTED = ("register", "set", "rwset", "gset", "flag", "dwflag")


def end_of(history: History) -> int:
    """Return a time after all expiries."""
    return max(history.expiries.values(), default=1)


def moments(entry: Entry) -> list[int]:
    """Return the times at which something changes, and those right before and after."""
    return sorted({0, 2**63 - 1, *(at + more for at in entry.expiries.values() for more in (-1, 0, 1))})


@every_expiring_type
@settings(max_examples=30)
@given(data=st.data())
def test_where_everything_expires_nothing_is_seen_at_the_end(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, everything_expires=True))
    end = end_of(history)
    for entry in history.entries:
        assert entry.at(end).is_tombstone
    for one, other in combinations(history.entries[-6:], 2):
        assert one.merge(other).at(end).is_tombstone


@every_expiring_type
@settings(max_examples=30)
@given(data=st.data())
def test_nothing_that_has_expired_is_left_in_what_a_reader_sees(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    now = data.draw(st.sampled_from(sorted(history.expiries.values()) or [1]))
    over = frozenset(dot for dot, expires_at in history.expiries.items() if expires_at <= now)
    for one, other in combinations(history.entries[-6:], 2):
        for entry in (one, other, one.merge(other)):
            seen = entry.at(now)
            # To take away what has expired once more takes nothing away.
            assert _shown(seen) == _shown(Entry(seen.state.without(over), seen.context))
            if type_tag in (*DOTTED, "maxreg", "minreg", "hll"):
                assert over.isdisjoint(seen.state.dots())
                assert over.isdisjoint(seen.expiries)


@every_expiring_type
@settings(max_examples=100)
@given(data=st.data())
def test_a_value_is_a_function_of_the_operations_seen_and_of_time(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    one, other = history.entries[-1], data.draw(st.sampled_from(history.entries))
    for entry in (*history.entries[-4:], one.merge(other)):
        seen = history.operations_in(entry.context)
        for now in moments(entry):
            assert repr(_shown(entry.at(now))) == expected(type_tag, seen, history.operations, now)


@every_type
@settings(max_examples=30)
@given(data=st.data())
def test_who_has_seen_the_same_sees_the_same_at_any_time(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    now = data.draw(st.sampled_from(sorted(history.expiries.values()) or [1])) + data.draw(st.integers(-1, 1))
    bytes_of: dict[frozenset[Dot], bytes] = {}
    for entry in history.entries:
        seen = entry.at(now).to_bytes()
        assert bytes_of.setdefault(frozenset(entry.context.dots()), seen) == seen


@every_type
@settings(max_examples=30)
@given(data=st.data())
def test_before_anything_expires_all_is_seen_and_no_context_changes_with_time(
    type_tag: str, data: st.DataObject
) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    for entry in history.entries:
        for now in moments(entry):
            assert entry.at(now).context == entry.context
        assert entry.at(0) is entry
        assert frozenset(entry.state.dots()).issuperset(entry.expiries)


@every_type
@settings(max_examples=30)
@given(data=st.data())
def test_what_is_seen_later_is_what_is_seen_now_and_then_later(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    for entry in history.entries[-5:]:
        for sooner, later in combinations(moments(entry), 2):
            assert _shown(entry.at(sooner).at(later)) == _shown(entry.at(later))


@every_expiring_type
@settings(max_examples=30)
@given(data=st.data())
def test_from_when_an_entry_is_over_nothing_is_seen_and_right_before_something_is(
    type_tag: str, data: st.DataObject
) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    for entry in history.entries:
        expires_at = entry.expires_at
        for now in moments(entry):
            is_over = expires_at is not None and expires_at <= now
            assert entry.at(now).is_tombstone or not is_over
        if expires_at is None:
            assert not entry.at(2**63 - 1).is_tombstone
        elif expires_at:
            assert not entry.at(expires_at - 1).is_tombstone


@every_type
@settings(max_examples=30)
@given(data=st.data())
def test_the_bytes_of_an_entry_tell_that_it_may_expire(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, is_timed=True))
    for entry in history.entries:
        assert may_expire(entry.to_bytes()) or not entry.expiries


def _shown(entry: Entry) -> Any:
    return values_of(entry.state)
