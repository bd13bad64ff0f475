"""States in chunks: whatever is done to a large value, its bytes are those of the same value made in any other way.

Real states lie in chunks from some dozens of parts on. Here they do from one on, and a chunk has three parts at most,
so that small histories divide, empty and share chunks all the time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import permutations

import pytest
from histories import History, histories, reachable
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.crdt import part_chunks, parts
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.part_chunks import PartChunks
from crdtkv.crdt.registry import TYPES
from crdtkv.node.replica.recent_deltas import RecentDeltas

OF_PARTS = [tag for tag, state_type in sorted(TYPES.items()) if issubclass(state_type, parts.Parts)]
types_of_parts = pytest.mark.parametrize("type_tag", OF_PARTS)
KEY = b"key"


@contextmanager
def small_chunks(of_parts: int = 3, told_by_few: int = 256) -> Iterator[None]:
    """Let states of one part lie in chunks; `told_by_few` is how many dots a delta may name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "CHUNKED_PARTS", 1)
        patch.setattr(parts, "FEW_DOTS", told_by_few)
        patch.setattr(part_chunks, "CHUNK_PARTS", of_parts)
        yield


def again(entry: Entry) -> Entry:
    """Return the same entry, read from its bytes."""
    return Entry.from_peer(entry.to_bytes(), entry.type_tag)


@types_of_parts
@settings(max_examples=60)
@given(data=st.data(), told_by_few=st.sampled_from((0, 4, 256)))
def test_what_is_merged_in_chunks_has_the_bytes_of_what_is_merged_without(
    type_tag: str, data: st.DataObject, told_by_few: int
) -> None:
    with small_chunks(told_by_few=told_by_few):
        entries = data.draw(reachable(type_tag, 4))
        chunked = [reduce(Entry.merge, order) for order in permutations(entries)]
        merged = [one.merge(other) for one in chunked[:3] for other in entries]
        chunked_bytes = [entry.to_bytes() for entry in [*chunked, *merged]]
        assert all(entry.size == len(entry.to_bytes()) == len(b"".join(entry.pieces)) for entry in chunked)
    plain = reduce(Entry.merge, map(again, entries)).to_bytes()
    assert set(chunked_bytes) == {plain}


@types_of_parts
@settings(max_examples=60)
@given(data=st.data())
def test_a_state_in_chunks_reads_as_the_one_that_was_parsed_from_its_bytes(type_tag: str, data: st.DataObject) -> None:
    with small_chunks():
        entries = data.draw(reachable(type_tag, 4))
        for entry in entries:
            parsed = again(entry)
            assert repr(entry.state) == repr(parsed.state)
            assert entry.state.newest() == parsed.state.newest()
            assert entry.state.is_empty == parsed.state.is_empty
            assert frozenset(entry.state.dots()) == frozenset(parsed.state.dots())


@types_of_parts
@settings(max_examples=60)
@given(data=st.data())
def test_who_has_seen_an_earlier_state_needs_only_what_changed_since(type_tag: str, data: st.DataObject) -> None:
    with small_chunks():
        history: History = data.draw(histories(type_tag))
        held, recent, states = Entry.empty(type_tag), RecentDeltas(), [Entry.empty(type_tag)]
        for sent in history.deltas:
            delta = sent.for_one_at(held.context)
            recent.note(KEY, held.context, delta)
            held = held.merge(delta)
            states.append(held)
        everything = recent.all_of(KEY)
        for state in states:
            for other in states:
                lacking = recent.behind(KEY, state.context)
                both = state.merge(other)
                if lacking is not None:
                    assert state.merge(lacking).to_bytes() == held.to_bytes()
                    assert both.merge(lacking).to_bytes() == both.merge(held).to_bytes()
                if everything is not None and state.context.descends(everything.basis):
                    assert state.merge(everything.delta).to_bytes() == held.to_bytes()


# What a change costs.


def large_set(size: int) -> Entry:
    elements: list[object] = [cbor.encode_value(number) for number in range(size)]
    return Entry.empty("set").delta("add", elements, Event(Dot("a.1", 1), 1))


@pytest.mark.parametrize(
    ("operation", "element"), [("add", -1), ("add", 4_000), ("add", 10_000), ("remove", 0), ("remove", 9_999)]
)
def test_an_entry_that_was_changed_shares_the_pieces_of_the_one_before(operation: str, element: int) -> None:
    before = Entry.empty("set").merge(large_set(10_000))
    before.pieces  # noqa: B018 - they are made when they are first asked for
    after = before.merge(before.delta(operation, [cbor.encode_value(element)], Event(Dot("b.1", 1), 2)))
    shared = {id(piece) for piece in before.pieces}
    fresh = [piece for piece in after.pieces if id(piece) not in shared]
    assert len(before.pieces) > 50
    assert len(fresh) <= 5
    assert after.to_bytes() == again(after).to_bytes()


def test_a_part_that_is_not_changed_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = large_set(5_000)
    assert entry.size
    encoded: list[bytes] = []
    state_type = type(entry.state)
    encode = state_type._encode_part
    monkeypatch.setattr(
        state_type, "_encode_part", lambda self, key, part: encoded.append(key) or encode(self, key, part)
    )
    for number in range(20):
        operation = "remove" if number % 3 == 2 else "add"
        entry = entry.merge(entry.delta(operation, [cbor.encode_value(100 * number)], Event(Dot("b.1", number + 1), 1)))
        assert entry.size == len(entry.to_bytes())
    assert len(encoded) == 14


def test_chunks_hold_what_a_dictionary_would() -> None:
    with small_chunks():
        chunks, model = PartChunks[int, str]([]), dict[int, str]()
        for number in range(200):
            key = number * 7919 % 31
            change = {key: None, key + 1: f"{number}"} if number % 3 else {key: f"{number}", key + 40: None}
            chunks = chunks.changed(change)
            model = {one: state for one, state in {**model, **change}.items() if state is not None}
            assert dict(chunks) == dict(chunks.items()) == model
            assert list(chunks) == sorted(model)
            assert list(chunks.values()) == [model[one] for one in sorted(model)]
            assert (len(chunks), key in chunks, chunks.get(-1)) == (len(model), key in model, None)
            assert all(1 <= len(chunk.keys) <= 3 for chunk in chunks.chunks)
