"""The register: which versions a put supersedes, which siblings a reader sees, and which one wins."""

import pytest

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("register")


def put(on: Entry, dot: tuple[str, int], timestamp: int, value: bytes, seen: CausalContext | None = None) -> Entry:
    return on.merge(on.delta("put", [value], Event(Dot(*dot), timestamp), seen))


def delete(on: Entry, dot: tuple[str, int], seen: CausalContext | None = None) -> Entry:
    return on.merge(on.delta("delete", [], Event(Dot(*dot), 0), seen))


def values(entry: Entry) -> list[bytes]:
    assert isinstance(entry.state, Register)
    return [version.value for version in entry.state.siblings()]


def test_what_was_never_written_is_empty() -> None:
    assert EMPTY.is_tombstone
    assert values(EMPTY) == []
    assert EMPTY.state.newest() == 0


def test_a_blind_put_supersedes_what_its_coordinator_holds() -> None:
    first = put(EMPTY, ("a", 1), 10, b"first")
    assert values(put(first, ("b", 1), 20, b"second")) == [b"second"]


def test_a_blind_put_supersedes_all_siblings_its_coordinator_holds() -> None:
    both = put(EMPTY, ("a", 1), 10, b"one").merge(put(EMPTY, ("b", 1), 11, b"other"))
    assert values(put(both, ("c", 1), 20, b"third")) == [b"third"]


def test_concurrent_puts_are_siblings_the_latest_first() -> None:
    one, other = put(EMPTY, ("a", 1), 20, b"later"), put(EMPTY, ("b", 1), 10, b"earlier")
    assert values(one.merge(other)) == [b"later", b"earlier"]
    assert values(other.merge(one)) == [b"later", b"earlier"]
    assert one.merge(other).state.newest() == 20


def test_of_siblings_with_the_same_timestamp_the_higher_dot_comes_first() -> None:
    one, other = put(EMPTY, ("a", 2), 10, b"a"), put(EMPTY, ("b", 1), 10, b"b")
    assert values(one.merge(other)) == [b"b", b"a"]


def test_a_put_with_a_context_supersedes_exactly_what_was_read() -> None:
    read = put(EMPTY, ("a", 1), 10, b"read")
    both = read.merge(put(EMPTY, ("b", 1), 11, b"not read"))
    written = put(both, ("a", 2), 20, b"written", seen=read.context)
    assert values(written) == [b"written", b"not read"]


def test_a_put_with_the_context_of_all_siblings_resolves_them() -> None:
    both = put(EMPTY, ("a", 1), 10, b"one").merge(put(EMPTY, ("b", 1), 11, b"other"))
    assert values(put(both, ("a", 2), 20, b"merged", seen=both.context)) == [b"merged"]


def test_a_delta_that_overtook_an_earlier_one_leaves_a_gap_and_loses_nothing() -> None:
    # The second write did not read the first, and arrives before it.
    first = EMPTY.delta("put", [b"first"], Event(Dot("a", 1), 10))
    second = EMPTY.merge(first).delta("put", [b"second"], Event(Dot("a", 2), 20), EMPTY.context)
    early = EMPTY.merge(second)
    assert repr(early.context) == "{} +a:2"
    late = early.merge(first)
    assert values(late) == [b"second", b"first"]
    assert repr(late.context) == "{a:2}"


def test_a_superseded_version_that_arrives_late_stays_superseded() -> None:
    first = put(EMPTY, ("a", 1), 10, b"old")
    second = put(first, ("a", 2), 20, b"new")
    assert values(second.merge(first)) == [b"new"]
    assert values(EMPTY.merge(second).merge(first)) == [b"new"]


def test_a_delete_removes_what_it_saw_and_a_concurrent_put_survives_it() -> None:
    first = put(EMPTY, ("a", 1), 10, b"first")
    concurrent = put(first, ("b", 1), 20, b"concurrent")
    deleted = delete(first, ("a", 2))
    assert values(deleted) == []
    assert deleted.is_tombstone
    assert values(deleted.merge(concurrent)) == [b"concurrent"]


def test_a_delete_with_a_context_leaves_what_was_not_read() -> None:
    read = put(EMPTY, ("a", 1), 10, b"read")
    both = read.merge(put(EMPTY, ("b", 1), 11, b"not read"))
    assert values(delete(both, ("a", 2), seen=read.context)) == [b"not read"]


def test_two_replicas_that_superseded_each_others_version_end_without_either() -> None:
    # Each deletes what it sees while the other writes: both writes were seen by one delete.
    one, other = put(EMPTY, ("a", 1), 10, b"one"), put(EMPTY, ("b", 1), 10, b"other")
    assert values(delete(one, ("a", 2)).merge(delete(other, ("b", 2)))) == []


def test_a_blind_write_supersedes_older_versions_elsewhere_under_a_dot_of_that_replicas_own() -> None:
    older = put(EMPTY, ("b", 1), 10, b"older")
    blind = put(EMPTY, ("a", 1), 20, b"blind")
    both = older.merge(blind)
    trimmed = both.without_older(20, Event(Dot("b", 2), 20))
    assert trimmed is not None
    assert values(trimmed) == [b"blind"]
    assert repr(trimmed.context) == "{a:1, b:2}"
    assert values(trimmed.merge(older)) == [b"blind"]


def test_a_blind_write_leaves_versions_that_are_as_new_or_newer() -> None:
    both = put(EMPTY, ("b", 1), 20, b"as new").merge(put(EMPTY, ("c", 1), 30, b"newer"))
    assert both.without_older(20, Event(Dot("b", 2), 20)) is None


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("increment", [1]),
        ("", []),
        ("put", []),
        ("put", [b"a", b"b"]),
        ("put", ["text"]),
        ("put", [None]),
        ("delete", [b"a"]),
        ("PUT", [b"a"]),
    ],
)
def test_an_unknown_operation_or_argument_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="a register knows put"):
        EMPTY.delta(operation, arguments, Event(Dot("a", 1), 10))


def test_the_repr_shows_dots_and_values() -> None:
    both = put(EMPTY, ("b", 1), 20, b"\x01").merge(put(EMPTY, ("a", 1), 10, b"\x02"))
    assert repr(both) == "Entry(register(a:1=02, b:1=01) seen {a:1, b:1})"
