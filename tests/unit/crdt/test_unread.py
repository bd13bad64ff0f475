"""Entries of a type that this version does not know: kept as the bytes they are, bundled, and read by who knows it."""

import pytest
from acting import act, everywhere

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import BUNDLE, Entry, may_expire
from crdtkv.crdt.registry import TYPES
from crdtkv.crdt.unread import Unread
from crdtkv.errors import InvalidRequest, ProtocolError

SET = TYPES["set"]
X, Y, Z = b"\x01", b"\x02", b"\x03"
FIRST = act(Entry.empty("set"), ("a", 1), "add", X)
SECOND = act(FIRST, ("a", 2), "add", Y, expires_at=2**62)
CONCURRENT = act(FIRST, ("b", 1), "add", Z)
THIRD = act(FIRST, ("c", 1), "add", b"\x04")
NOTHING = Entry.empty("set")


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make this program one that does not know sets yet; `upgrade` ends that."""
    monkeypatch.delitem(TYPES, "set")
    return monkeypatch


def upgrade(older: pytest.MonkeyPatch) -> None:
    older.setitem(TYPES, "set", SET)


def received(entry: Entry) -> Entry:
    return Entry.from_peer(entry.to_bytes(), "set")


def versions(entry: Entry) -> list[bytes]:
    assert isinstance(entry.state, Unread)
    return [version.encoded for version in entry.state.versions]


@pytest.mark.usefixtures("older")
def test_an_entry_is_kept_byte_for_byte() -> None:
    for sent in (FIRST, SECOND, CONCURRENT):
        for parsed in (received(sent), Entry.from_replica(sent.to_bytes(), "set"), Entry.from_bytes(sent.to_bytes())):
            assert parsed.to_bytes() == sent.to_bytes()
            assert parsed.context == sent.context
            assert parsed.type_tag == "set"
    assert repr(received(FIRST)) == "Entry(set(unread, 1 versions) seen {a:1})"


@pytest.mark.usefixtures("older")
def test_even_a_state_that_could_not_be_one_of_a_known_type_is_kept() -> None:
    for state in ({"any": [None, 1.5]}, "text", None, [[[]]], b""):
        sent = cbor.encode([1, "set", state, ["a", 1], [], [b"?", 7]])
        assert Entry.from_peer(sent, "set").to_bytes() == sent


@pytest.mark.usefixtures("older")
def test_of_an_older_and_a_newer_version_the_newer_is_kept() -> None:
    for sent in (SECOND, CONCURRENT):
        assert versions(everywhere(received(FIRST), received(sent))) == [sent.to_bytes()]


@pytest.mark.usefixtures("older")
def test_a_version_that_arrives_again_changes_nothing() -> None:
    assert everywhere(received(FIRST), received(FIRST)).to_bytes() == FIRST.to_bytes()
    both = everywhere(received(SECOND), received(CONCURRENT))
    assert everywhere(both, received(SECOND)).to_bytes() == both.to_bytes()
    assert everywhere(both, received(FIRST)).to_bytes() == both.to_bytes()


@pytest.mark.usefixtures("older")
def test_concurrent_versions_are_kept_in_a_bundle_that_says_all_they_have_seen() -> None:
    both = everywhere(received(SECOND), received(CONCURRENT))
    assert cbor.decode(both.to_bytes()) == [BUNDLE, "set", sorted([SECOND.to_bytes(), CONCURRENT.to_bytes()])]
    assert both.context == SECOND.merge(CONCURRENT).context
    for again in (received(both), Entry.from_replica(both.to_bytes(), "set"), Entry.from_bytes(both.to_bytes())):
        assert again == both
        assert again.context == both.context


@pytest.mark.usefixtures("older")
def test_bundles_are_merged_and_end_where_something_comes_that_has_seen_all() -> None:
    more = everywhere(received(CONCURRENT), received(THIRD))
    three = everywhere(received(SECOND), received(CONCURRENT), more)
    assert versions(three) == sorted([SECOND.to_bytes(), CONCURRENT.to_bytes(), THIRD.to_bytes()])
    newest = act(SECOND.merge(CONCURRENT).merge(THIRD), ("c", 2), "add", X)
    assert everywhere(three, received(newest)).to_bytes() == newest.to_bytes()


@pytest.mark.usefixtures("older")
def test_what_has_seen_two_of_three_versions_takes_their_place() -> None:
    three = everywhere(received(SECOND), received(CONCURRENT), received(THIRD))
    newer = act(SECOND.merge(CONCURRENT), ("b", 2), "remove", X)
    assert versions(everywhere(three, received(newer))) == sorted([newer.to_bytes(), THIRD.to_bytes()])


def test_bundles_of_the_same_operations_become_the_same_bytes_and_mean_the_same(older: pytest.MonkeyPatch) -> None:
    three = everywhere(received(SECOND), received(CONCURRENT), received(THIRD))
    two = everywhere(received(SECOND.merge(CONCURRENT)), received(THIRD))
    assert three.context == two.context
    assert everywhere(three, two).to_bytes() == two.to_bytes()
    upgrade(older)
    assert Entry.from_bytes(three.to_bytes()) == Entry.from_bytes(two.to_bytes())


@pytest.mark.usefixtures("older")
def test_two_versions_that_have_seen_the_same_are_both_kept() -> None:
    # A replica cannot tell which of them is whole, so it drops neither.
    wire = cbor.decode(FIRST.to_bytes())
    twin = cbor.encode([*wire[:2], [], *wire[3:]])
    assert versions(everywhere(received(FIRST), Entry.from_peer(twin, "set"))) == sorted([FIRST.to_bytes(), twin])


def test_who_knows_the_type_merges_what_is_in_a_bundle(older: pytest.MonkeyPatch) -> None:
    bundle = everywhere(received(SECOND), received(CONCURRENT)).to_bytes()
    upgrade(older)
    for parsed in (Entry.from_bytes(bundle), Entry.from_replica(bundle, "set")):
        assert parsed == SECOND.merge(CONCURRENT)
        assert repr(parsed.state) == "set(01, 02, 03)"
        assert parsed.expiries == {Dot("a", 2): 2**62}
        assert parsed.to_bytes() != bundle


def test_a_node_that_was_upgraded_reads_what_it_had_stored_unread(older: pytest.MonkeyPatch) -> None:
    stored = received(CONCURRENT).to_bytes()
    upgrade(older)
    assert repr(Entry.from_bytes(stored).merge(SECOND).state) == "set(01, 02, 03)"


@pytest.mark.usefixtures("older")
def test_what_nobody_can_read_is_never_empty() -> None:
    for entry in (received(NOTHING), received(FIRST), everywhere(received(SECOND), received(CONCURRENT))):
        assert not entry.is_tombstone
        assert not entry.state.is_blank
        assert entry.expires_at is None
        assert entry.state.newest() == 0
        assert list(entry.state.dots()) == []


@pytest.mark.usefixtures("older")
def test_what_nobody_can_read_does_not_expire_and_supersedes_nothing() -> None:
    entry = received(SECOND)
    assert may_expire(SECOND.to_bytes())
    assert entry.at(2**63 - 1) is entry
    assert entry.state.without(frozenset([Dot("a", 2)])) is entry.state
    assert entry.without_older(2**62, Event(Dot("b", 1), 2**62)) is None


@pytest.mark.usefixtures("older")
def test_operations_are_refused_by_who_does_not_know_the_type() -> None:
    for operation, arguments in (("add", [X]), ("delete", []), ("put", [X])):
        with pytest.raises(InvalidRequest, match="this node does not know the type 'set': ask a newer one"):
            act(received(FIRST), ("c", 1), operation, *arguments)
    with pytest.raises(InvalidRequest, match="unknown type 'set'"):
        Entry.empty("set")


@pytest.mark.usefixtures("older")
def test_entries_of_different_unknown_types_are_not_merged() -> None:
    other = cbor.encode([1, "graph", [], ["a", 1], [], None])
    with pytest.raises(InvalidRequest, match="a graph cannot be merged into a set"):
        received(FIRST).merge(Entry.from_peer(other, "graph"))
    with pytest.raises(ProtocolError, match="an entry of type graph under a key of type set"):
        Entry.from_peer(other, "set")


ONE, OTHER = SECOND.to_bytes(), CONCURRENT.to_bytes()


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize(
    "wire",
    [
        [2, "set"],
        [2, "set", []],
        [2, "set", None],
        [2, "set", [ONE]],
        [2, "set", [ONE, None]],
        [2, "set", [ONE, b""]],
        [2, "set", [ONE, b"\xf6"]],
        [2, "set", [ONE, OTHER], None],
        [2, "map", [ONE, OTHER]],
        [2, "set", [ONE, Entry.empty("map").to_bytes()]],
        [2, "set", [ONE, cbor.encode([2, "set", sorted([ONE, OTHER])])]],
        [2, "set", sorted([ONE, OTHER], reverse=True)],
        [2, "set", [ONE, ONE]],
        [2, "set", sorted([ONE, FIRST.to_bytes()])],
        [3, "set", sorted([ONE, OTHER])],
        [1, "set", [], ["a", 1], []],
        [1, "set", [], ["a", 0], [], None],
        [1, "set", [], None, [], None],
        [1, "set", [], ["a", 1], ["a", 2], None],
    ],
    ids=lambda wire: f"{wire!r:.60}",
)
def test_a_damaged_entry_or_bundle_is_refused_from_outside(wire: list[object]) -> None:
    with pytest.raises(ProtocolError):
        Entry.from_peer(cbor.encode(wire), "set")


@pytest.mark.usefixtures("older")
def test_an_entry_of_another_format_is_refused_though_its_type_is_unknown() -> None:
    with pytest.raises(ProtocolError, match="an entry of format 3, this version knows 1 and 2"):
        Entry.from_bytes(cbor.encode([3, "set", [], [], [], None]))
