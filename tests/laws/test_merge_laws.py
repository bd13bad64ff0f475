"""The laws of a join, for every type in the registry, over states that histories reach."""

from functools import reduce
from itertools import combinations, permutations

import pytest
from histories import History, histories, reachable
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from specifications import TRIED

from crdtkv.crdt.entry import Entry
from crdtkv.crdt.registry import TYPES

every_type = pytest.mark.parametrize("type_tag", sorted(TYPES))
DATA = st.data()


def joined(entries: list[Entry]) -> Entry:
    return reduce(Entry.merge, entries)


def test_every_type_has_a_specification() -> None:
    assert sorted(TRIED) == sorted(TYPES)
    for type_tag, state_type in TYPES.items():
        assert {name for name, _ in TRIED[type_tag].calls} == state_type.operations


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_is_commutative(type_tag: str, data: st.DataObject) -> None:
    for one, other in combinations(data.draw(reachable(type_tag, 4)), 2):
        assert one.merge(other).to_bytes() == other.merge(one).to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_is_associative(type_tag: str, data: st.DataObject) -> None:
    for one, two, three in permutations(data.draw(reachable(type_tag, 4)), 3):
        assert one.merge(two).merge(three).to_bytes() == one.merge(two.merge(three)).to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_is_idempotent(type_tag: str, data: st.DataObject) -> None:
    for one, other in permutations(data.draw(reachable(type_tag, 4)), 2):
        assert one.merge(one).to_bytes() == one.to_bytes()
        merged = one.merge(other)
        assert merged.merge(other).to_bytes() == merged.to_bytes()
        assert merged.merge(one).to_bytes() == merged.to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_forgets_no_operation_and_invents_none(type_tag: str, data: st.DataObject) -> None:
    one, other = data.draw(reachable(type_tag, 2))
    merged = one.merge(other)
    assert merged.context.descends(one.context)
    assert merged.context.descends(other.context)
    assert set(merged.context.dots()) == {*one.context.dots(), *other.context.dots()}


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_what_was_never_written_changes_nothing(type_tag: str, data: st.DataObject) -> None:
    (entry,) = data.draw(reachable(type_tag, 1))
    assert entry.merge(Entry.empty(type_tag)).to_bytes() == entry.to_bytes()
    assert Entry.empty(type_tag).merge(entry).to_bytes() == entry.to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_changes_neither_side(type_tag: str, data: st.DataObject) -> None:
    one, other = data.draw(reachable(type_tag, 2))
    before = repr(one), repr(other)
    one.merge(other)
    assert (repr(one), repr(other)) == before
    for entry in (one, other):
        assert Entry(entry.state, entry.context, entry.expiries).to_bytes() == entry.to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_merging_a_delta_is_merging_the_state_it_led_to(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, data.draw(st.booleans())))
    replica = history.replicas[0]
    before = replica.entry
    happened = len(history.deltas)
    history.operate(0, data.draw(st.sampled_from(TRIED[type_tag].calls)), None)
    assume(len(history.deltas) > happened)  # a bounded counter may refuse
    delta = history.deltas[-1].delta
    for elsewhere in history.entries:
        assert elsewhere.merge(before).merge(delta).to_bytes() == elsewhere.merge(replica.entry).to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_all_deltas_in_any_order_and_repeated_are_all_there_is(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, data.draw(st.booleans())))
    everything = joined(history.entries)
    held = Entry.empty(type_tag)
    for sent in data.draw(st.permutations(history.deltas + history.deltas[:3])):
        held = held.merge(sent.for_one_at(held.context))
    assert held.to_bytes() == everything.to_bytes()


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_replicas_that_merge_each_other_in_any_order_hold_the_same_bytes(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, data.draw(st.booleans())))
    pairs = [(at, other) for at in range(3) for other in range(3) if at != other]
    for at, other in data.draw(st.permutations(pairs)) + data.draw(st.permutations(pairs)):
        history.merge(at, other)
    assert len({replica.entry.to_bytes() for replica in history.replicas}) == 1


@every_type
@settings(max_examples=50)
@given(data=DATA)
def test_entries_that_saw_the_same_operations_are_the_same_bytes(type_tag: str, data: st.DataObject) -> None:
    history: History = data.draw(histories(type_tag, data.draw(st.booleans())))
    bytes_of: dict[frozenset[object], bytes] = {}
    for entry in history.entries:
        assert bytes_of.setdefault(frozenset(entry.context.dots()), entry.to_bytes()) == entry.to_bytes()
