"""The answers of a node to a watching client: stored values, then changes; no key is skipped, whatever happens."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from one_node import CLIENT, ME, OneNode, identity, to

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import ClientGone, Durable, Received, TopologyChanged
from crdtkv.node.watch import waiting_polls
from crdtkv.ring.partition_set import mask_of, to_bits
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.messages import (
    ErrorReply,
    MutateRequest,
    WatchReply,
    WatchRequest,
    WriteReplica,
)

REGISTERS = b"default\0register\0"


class Watcher:
    """A client that watches one node, with one poll at a time, and records the changes."""

    def __init__(self, node: OneNode, *prefixes: bytes, limit: int = 1000, client: int = CLIENT) -> None:
        self.node = node
        self.client = client
        self.prefixes: list[object] = list(prefixes) or [REGISTERS]
        self.limit = limit
        self.cursor = b""
        self.position: int | None = None
        self.told: list[tuple[bytes, bytes | None]] = []
        self._number = 0

    def ask(self, wait_ms: int = 0, **fields: Any) -> list[WatchReply]:
        """Poll; return the answers that come at once."""
        self._number += 1
        ring = self.node.core.parts.kernel.cluster.ring
        partitions = to_bits(mask_of(range(ring.partitions)), ring.partitions)
        request = WatchRequest(self._number, self.prefixes, partitions, self.cursor, self.limit, wait_ms)
        return self.take(self.node.step(Received(self.client, 1, [request._replace(**fields)])))

    def take(self, sent: dict[Any, list[Any]]) -> list[WatchReply]:
        """Take in what the node sent."""
        replies = [message for message in sent.get(self.client, []) if isinstance(message, WatchReply)]
        for reply in replies:
            self.told += [(key, entry) for key, entry in reply.rows]  # type: ignore[misc]
            self.cursor, self.position = reply.cursor, reply.position
        return replies

    def catch_up(self) -> list[bytes]:
        """Poll until nothing is left to tell; return the keys told meanwhile, in order."""
        before = len(self.told)
        for _ in range(10_000):
            (reply,) = self.ask()
            if reply.position == reply.head:
                return [key for key, _ in self.told[before:]]
        raise AssertionError("it never ends")

    def refusal(self, **fields: Any) -> str:
        self._number += 1
        request = WatchRequest(self._number, self.prefixes, to_bits((1 << 64) - 1, 64), self.cursor, self.limit, 0)
        (reply,) = self.node.ask(request._replace(**fields))[CLIENT]
        assert isinstance(reply, ErrorReply)
        assert reply.id == request._replace(**fields).id
        return reply.code


def write(node: OneNode, key: str, value: str = "v", counter: int = 1) -> dict[Any, list[Any]]:
    """Let a write of another node arrive."""
    empty = Entry.empty("register")
    entry = empty.merge(empty.delta("put", [value.encode()], Event(Dot("eu-2.00", counter), counter), None, None))
    return node.from_node("eu-2", WriteReplica(counter, identity(key), entry.to_bytes(), 0))


@pytest.fixture
def node() -> OneNode:
    return OneNode()


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[OneNode]:
    """A node that remembers the changes of three keys."""
    node = OneNode()
    node.core.parts.replica.changes.keys_max = 3
    return node


# The initial state, and what follows.


def test_the_initial_state_is_told_page_by_page_and_ends(node: OneNode) -> None:
    for number in range(30):
        write(node, f"k{number}", counter=number + 1)
    watcher = Watcher(node, limit=7)
    pages = 0
    while watcher.position is None:
        (reply,) = watcher.ask()
        assert len(reply.rows) <= 7
        pages += 1
    assert pages >= 5
    assert sorted(watcher.told) == sorted((identity(f"k{n}"), stored(node, f"k{n}")) for n in range(30))
    assert watcher.catch_up() == []


def test_only_keys_with_the_prefix_in_the_partitions_asked_are_told(node: OneNode) -> None:
    for number in range(30):
        write(node, f"in:{number}", counter=2 * number + 1)
        write(node, f"out:{number}", counter=2 * number + 2)
    lower_half = to_bits((1 << 32) - 1, 64)
    wanted = {identity(f"in:{n}") for n in range(30) if storage_key_of(identity(f"in:{n}"))[0] < 128}
    watcher = Watcher(node, REGISTERS + b"in:")
    watcher.ask(partitions=lower_half)
    while watcher.position is None:
        watcher.ask(partitions=lower_half)
    assert {key for key, _ in watcher.told} == wanted
    watcher.told.clear()
    for number in range(30):
        write(node, f"in:{number}", "later", counter=100 + number)
        write(node, f"out:{number}", "later", counter=200 + number)
    watcher.ask(partitions=lower_half)
    assert {key for key, _ in watcher.told} == wanted


def test_several_prefixes_are_watched_at_once(node: OneNode) -> None:
    watcher = Watcher(node, REGISTERS + b"a", b"default\0counter\0", REGISTERS + b"ab")
    watcher.catch_up()
    counter = identity_of("default", "counter", "hits")
    for number, key in enumerate((identity("abc"), counter, identity("b"))):
        increment = ("increment", [1]) if key == counter else ("put", [b"v"])
        node.ask(MutateRequest(number, key, *increment, None, 0, "ONE", 1000))
    assert watcher.catch_up() == [identity("abc"), counter]


def test_changes_follow_the_initial_state_and_a_key_that_changed_often_comes_once(node: OneNode) -> None:
    write(node, "a")
    watcher = Watcher(node)
    assert watcher.catch_up() == [identity("a")]
    write(node, "b", counter=2)
    write(node, "a", counter=3)
    write(node, "b", "newest", counter=4)
    assert watcher.catch_up() == [identity("a"), identity("b")]
    assert watcher.told[-1] == (identity("b"), stored(node, "b"))


def test_what_is_written_while_the_initial_state_is_told_is_not_skipped(node: OneNode) -> None:
    keys = [f"k{number}" for number in range(20)]
    for number, key in enumerate(keys, 1):
        write(node, key, counter=number)
    in_order = sorted(keys, key=lambda key: storage_key_of(identity(key)))
    watcher = Watcher(node, limit=5)
    watcher.ask()
    write(node, in_order[0], "told already", counter=100)
    write(node, in_order[-1], "not yet", counter=101)
    watcher.catch_up()
    assert dict(watcher.told) == {identity(key): stored(node, key) for key in keys}
    assert [key for key, _ in watcher.told].count(identity(in_order[0])) == 2


def test_a_deleted_key_is_told_as_a_tombstone_by_the_initial_state_and_as_a_change(node: OneNode) -> None:
    write(node, "gone")
    node.ask(MutateRequest(90, identity("gone"), "delete", [], None, 0, "ONE", 1000))
    watcher = Watcher(node)
    watcher.catch_up()
    ((key, entry),) = watcher.told
    assert key == identity("gone")
    assert entry is not None
    assert Entry.from_bytes(entry).is_tombstone
    write(node, "next", counter=7)
    watcher.catch_up()
    node.ask(MutateRequest(91, identity("next"), "delete", [], None, 0, "ONE", 1000))
    watcher.catch_up()
    assert Entry.from_bytes(watcher.told[-1][1] or b"").is_tombstone


def test_a_tombstone_that_was_collected_before_it_was_told_is_told_as_nothing(node: OneNode) -> None:
    write(node, "gone")
    watcher = Watcher(node)
    watcher.catch_up()
    empty = Entry.empty("register")
    written = empty.merge(empty.delta("put", [b"v"], Event(Dot("eu-2.00", 1), 1), None, None))
    deleted = written.merge(written.delta("delete", [], Event(Dot("eu-2.00", 2), 2), written.context, None))
    node.from_node("eu-2", WriteReplica(2, identity("gone"), deleted.to_bytes(), 0))
    node.core.parts.replica.drop(storage_key_of(identity("gone")))
    watcher.catch_up()
    assert watcher.told[-1] == (identity("gone"), None)


def test_an_expired_value_is_told_as_readers_see_it(node: OneNode) -> None:
    node.ask(MutateRequest(90, identity("k"), "put", [b"v"], None, 0, "ONE", 1000, 5_000))
    watcher = Watcher(node)
    watcher.catch_up()
    assert not Entry.from_bytes(watcher.told[-1][1] or b"").is_tombstone
    node.wait(6)
    assert watcher.catch_up() == []  # expiry is no change
    again = Watcher(node)
    again.catch_up()
    assert Entry.from_bytes(again.told[-1][1] or b"").is_tombstone


# Waiting.


def test_a_poll_with_nothing_to_tell_waits_for_a_change_that_is_for_it(node: OneNode) -> None:
    watcher = Watcher(node, REGISTERS + b"in:")
    watcher.catch_up()
    assert watcher.ask(wait_ms=10_000) == []
    assert node.core.status()["watches_waiting"] == 1
    assert watcher.take(write(node, "out:1")) == []
    assert watcher.take(node.wait(5)) == []
    (reply,) = watcher.take(write(node, "in:1", counter=2))
    assert [key for key, _ in watcher.told] == [identity("in:1")]
    assert (reply.position, node.core.status()["watches_waiting"]) == (2, 0)


def test_a_poll_that_has_waited_long_enough_brings_a_cursor_behind_what_was_not_for_it(node: OneNode) -> None:
    watcher = Watcher(node, REGISTERS + b"in:")
    watcher.catch_up()
    watcher.ask(wait_ms=10_000)
    write(node, "out:1")
    assert node.core.next_timer() is not None
    assert watcher.take(node.wait(9)) == []
    (reply,) = watcher.take(node.wait(2))
    assert (reply.rows, reply.position, reply.head) == ([], 1, 1)
    assert watcher.take(node.wait(60)) == []
    assert watcher.catch_up() == []


def test_a_poll_waits_no_longer_than_a_minute(node: OneNode) -> None:
    watcher = Watcher(node)
    watcher.catch_up()
    watcher.ask(wait_ms=10**9)
    assert len(watcher.take(node.wait(61))) == 1


def test_a_write_in_the_same_step_as_the_poll_is_told(node: OneNode) -> None:
    watcher = Watcher(node)
    watcher.catch_up()
    everything = to_bits((1 << 64) - 1, 64)
    poll = WatchRequest(50, [REGISTERS], everything, watcher.cursor, 10, 10_000)
    put = MutateRequest(51, identity("k"), "put", [b"v"], None, 0, "ONE", 1000)
    watcher.take(node.step(Received(CLIENT, 1, [poll, put])))
    assert [key for key, _ in watcher.told] == [identity("k")]


def test_more_than_a_page_of_changes_comes_on_several(node: OneNode) -> None:
    watcher = Watcher(node, limit=3)
    watcher.catch_up()
    for number in range(8):
        write(node, f"k{number}", counter=number + 1)
    assert [len(reply.rows) for reply in (watcher.ask() + watcher.ask(10_000) + watcher.ask(10_000))] == [3, 3, 2]
    assert watcher.ask(10_000) == []


def test_polls_are_found_by_what_they_wait_for_and_each_is_answered_once(node: OneNode) -> None:
    watchers = {prefix: Watcher(node, REGISTERS + prefix) for prefix in (b"", b"a", b"ab", b"abc", b"b")}
    for number, watcher in enumerate(watchers.values()):
        watcher.catch_up()
        watcher.ask(wait_ms=10_000, id=100 + number)
    sent = write(node, "ab")
    assert [reply.id for reply in sent[CLIENT] if isinstance(reply, WatchReply)] == [100, 101, 102]
    assert node.core.status()["watches_waiting"] == 2
    sent = write(node, "b", counter=2)
    assert [reply.id for reply in sent[CLIENT] if isinstance(reply, WatchReply)] == [104]


def test_a_change_in_other_partitions_leaves_a_poll_waiting(node: OneNode) -> None:
    inside = next(key for key in map(str, range(99)) if storage_key_of(identity(key))[0] < 128)
    outside = next(key for key in map(str, range(99)) if storage_key_of(identity(key))[0] >= 128)
    lower_half = to_bits((1 << 32) - 1, 64)
    watcher = Watcher(node)
    while watcher.position is None:
        watcher.ask(partitions=lower_half)
    watcher.ask(wait_ms=10_000, partitions=lower_half)
    assert watcher.take(write(node, outside)) == []
    assert len(watcher.take(write(node, inside, counter=2))) == 1
    assert [key for key, _ in watcher.told] == [identity(inside)]


def test_one_client_holds_its_share_of_polls_and_no_more(node: OneNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_polls, "MAX_WAITING_OF_ONE", 2)
    greedy, other = Watcher(node), Watcher(node, client=2)
    greedy.catch_up()
    other.catch_up()
    for _ in range(2):
        assert greedy.ask(wait_ms=1000) == []
    assert greedy.refusal(wait_ms=1000) == "overloaded"
    assert other.ask(wait_ms=1000) == []
    assert len(node.core.parts.watching) == 3


def test_polls_that_name_much_are_bounded_by_what_they_name(node: OneNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_polls, "MAX_PREFIX_BYTES", 2 * len(REGISTERS))
    watcher = Watcher(node)
    watcher.catch_up()
    assert watcher.ask(wait_ms=1000) == []
    assert watcher.ask(wait_ms=1000) == []
    assert watcher.refusal(wait_ms=1000) == "overloaded"
    watcher.take(write(node, "k"))
    assert watcher.ask(wait_ms=1000) == []


def test_the_polls_of_a_client_end_with_its_link(node: OneNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_polls, "MAX_WAITING", 2)
    gone, stays = Watcher(node), Watcher(node, client=2)
    gone.catch_up()
    stays.catch_up()
    gone.ask(wait_ms=1000)
    stays.ask(wait_ms=1000)
    assert len(node.core.parts.watching) == 2
    assert node.step(ClientGone(CLIENT)) == {}
    assert len(node.core.parts.watching) == 1
    assert stays.ask(wait_ms=1000) == []
    sent = write(node, "k")
    assert CLIENT not in sent
    assert len(stays.take(sent)) == 2


def test_that_a_client_without_polls_has_gone_is_no_news(node: OneNode) -> None:
    assert node.step(ClientGone(77)) == {}


def test_what_is_remembered_of_answered_polls_does_not_grow(node: OneNode) -> None:
    watcher = Watcher(node)
    watcher.catch_up()
    for number in range(3_000):
        assert watcher.ask(wait_ms=60_000) == []
        watcher.take(write(node, "k", counter=number + 1))
    assert len(node.core.parts.watching) == 0
    assert len(node.core.parts.watching._waiting._deadlines) < 2_000


def test_too_many_waiting_polls_are_refused(node: OneNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_polls, "MAX_WAITING", 2)
    watcher = Watcher(node)
    watcher.catch_up()
    watcher.ask(wait_ms=10_000)
    watcher.ask(wait_ms=10_000)
    assert watcher.refusal(wait_ms=10_000) == "overloaded"
    assert len(node.core.parts.watching) == 2


# Cursors.


def test_a_watch_goes_on_from_its_cursor(node: OneNode) -> None:
    write(node, "a")
    watcher = Watcher(node)
    watcher.catch_up()
    other = Watcher(node)
    other.cursor = watcher.cursor
    write(node, "b", counter=2)
    assert other.catch_up() == [identity("b")]


def test_a_cursor_from_before_a_restart_begins_with_the_whole_state_again() -> None:
    before, after = OneNode(), OneNode()
    for node in (before, after):
        write(node, "old")
    watcher = Watcher(before)
    watcher.catch_up()
    after.core.parts.replica.changes.begin(99)
    for node in (before, after):
        write(node, "new", counter=2)
    assert watcher.catch_up() == [identity("new")]
    watcher.node = after
    assert sorted(watcher.catch_up()) == [identity("new"), identity("old")]


def test_a_watcher_that_is_behind_what_the_log_remembers_is_told_the_whole_state_again(small_log: OneNode) -> None:
    node = small_log
    watcher = Watcher(node)
    watcher.catch_up()
    for number in range(3):
        write(node, f"k{number}", counter=number + 1)
    assert len(watcher.catch_up()) == 3  # just remembered
    for number in range(3, 7):
        write(node, f"k{number}", counter=number + 1)
    assert sorted(watcher.catch_up()) == [identity(f"k{n}") for n in range(7)]
    assert node.counters["watch_scans_begun"] == 2


def test_a_waiting_poll_is_told_the_whole_state_when_one_step_changes_more_than_the_log_remembers(
    small_log: OneNode,
) -> None:
    node = small_log
    watcher = Watcher(node, REGISTERS + b"k1")
    watcher.catch_up()
    watcher.ask(wait_ms=10_000)
    puts = [MutateRequest(n, identity(f"k{n}"), "put", [b"v"], None, 0, "ONE", 1000) for n in range(1, 6)]
    assert len(watcher.take(node.step(Received(CLIENT, 1, list(puts))))) == 1
    watcher.catch_up()
    assert {key for key, _ in watcher.told} == {identity("k1")}


def test_an_initial_state_during_which_too_much_changes_ends_and_begins_again(small_log: OneNode) -> None:
    node = small_log
    for number in range(20):
        write(node, f"k{number:02}", counter=number + 1)
    watcher = Watcher(node, limit=5)
    counter = 100
    while watcher.position is None:
        watcher.ask()
        for number in range(5):
            counter += 1
            write(node, f"k{number:02}", str(counter), counter)
    assert {key for key, _ in watcher.told} == {identity(f"k{n:02}") for n in range(20)}
    watcher.catch_up()
    assert dict(watcher.told) == {identity(f"k{n:02}"): stored(node, f"k{n:02}") for n in range(20)}


def live(log: object, since: object) -> bytes:
    return cbor.encode([log, since])


@pytest.mark.parametrize(
    "cursor",
    [
        b"\xff",
        b"junk",
        b"\x80",
        live(1, -1),
        live(1, 1 << 64),
        live(1, None),
        live(True, 1),
        cbor.encode([1, 2, 3]),
        cbor.encode([1, 2, 3, "text"]),
        cbor.encode([1, 2, 3, b"x" * 2000]),
        cbor.encode([1, 2]) + b"\0",
    ],
    ids=repr,
)
def test_what_is_no_cursor_is_refused(node: OneNode, cursor: bytes) -> None:
    assert Watcher(node).refusal(cursor=cursor) == "invalid_request"


def test_a_cursor_from_the_future_begins_anew(node: OneNode) -> None:
    write(node, "a")
    watcher = Watcher(node)
    watcher.catch_up()
    watcher.cursor = live(cbor.decode(watcher.cursor)[0], 10**6)
    assert watcher.catch_up() == [identity("a")]


# Who may be told what.


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"prefixes": []}, "invalid_request"),
        ({"prefixes": ["text"]}, "invalid_request"),
        ({"prefixes": [b"default"]}, "invalid_request"),
        ({"prefixes": [b"default\0no type\0"]}, "invalid_request"),
        ({"prefixes": [b"nobody\0register\0"]}, "unknown_bucket"),
        ({"prefixes": [REGISTERS + b"x" * 2000]}, "invalid_request"),
        ({"prefixes": [REGISTERS + bytes([n]) for n in range(65)]}, "invalid_request"),
        ({"partitions": b""}, "invalid_request"),
        ({"partitions": bytes(8)}, "invalid_request"),
        ({"partitions": b"\1" * 9}, "invalid_request"),
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_refused(node: OneNode, fields: dict[str, Any], code: str) -> None:
    assert Watcher(node).refusal(**fields) == code


def test_a_node_answers_only_for_partitions_it_is_a_replica_of() -> None:
    node = OneNode(nodes=5)
    ring = node.core.parts.kernel.cluster.ring
    mine = mask_of(p for p in range(64) if ME in ring.replicas_of(p))
    assert 0 < mine < (1 << 64) - 1
    assert Watcher(node).refusal() == "unavailable"
    assert len(Watcher(node).ask(partitions=to_bits(mine, 64))) == 1


def test_a_learner_answers_nobody_and_those_who_wait_are_refused(node: OneNode) -> None:
    watcher = Watcher(node)
    watcher.catch_up()
    watcher.ask(wait_ms=10_000, id=77)
    topology = node.core.topology
    (mine,) = [one for one in topology.nodes if one.name == ME]
    sent = node.step(TopologyChanged(topology.with_node(replace(mine, is_learner=True))))
    assert to(sent, ErrorReply) == {CLIENT: ErrorReply(77, "unavailable", [1, 0])}
    assert watcher.refusal() == "unavailable"


def test_a_quarantined_node_answers_nobody_and_those_who_wait_are_refused(node: OneNode) -> None:
    watcher = Watcher(node)
    watcher.catch_up()
    watcher.ask(wait_ms=10_000, id=77)
    # A dot of this very incarnation that the node does not know: it has forgotten something.
    own = Event(Dot(node.core.parts.replica.actor, 5), 1)
    empty = Entry.empty("register")
    entry = empty.merge(empty.delta("put", [b"v"], own, None, None)).to_bytes()
    sent = node.from_node("eu-2", WriteReplica(1, identity("k"), entry, 0))
    assert to(sent, ErrorReply)[CLIENT].id == 77
    assert watcher.refusal() == "unavailable"


def test_nothing_is_told_that_could_still_be_lost(node: OneNode) -> None:
    watcher = Watcher(node)
    watcher.catch_up()
    watcher.ask(wait_ms=10_000)
    write(node, "k")
    effects = node.core.parts.kernel.step.effects
    assert CLIENT not in effects.at_once
    assert [type(message) for message in effects.held[CLIENT]] == [WatchReply]
    assert effects.after_commit > 0
    Watcher(node).ask()  # the initial state, too
    effects = node.core.parts.kernel.step.effects
    assert (CLIENT in effects.at_once, CLIENT in effects.held, effects.after_commit > 0) == (False, True, True)
    node.store.sync()
    node.step(Durable(effects.after_commit))
    Watcher(node).ask()
    assert node.core.parts.kernel.step.effects.after_commit == 0


# All of it at random.


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_a_watcher_ends_with_what_is_stored(seed: int) -> None:
    node, random = OneNode(), Random(seed)
    node.core.parts.replica.changes.keys_max = random.choice((3, 10, 100))
    keys = [f"k{number}" for number in range(40)]
    watchers = [Watcher(node, limit=random.choice((1, 3, 100)), client=client) for client in range(1, 4)]
    for counter in range(1, random.randrange(20, 200)):
        sent = write(node, random.choice(keys), str(counter), counter)
        for watcher in watchers:
            if random.random() < 0.8:  # or else the answer is lost, as when a link breaks
                watcher.take(sent)
            if random.random() < 0.5:
                watcher.ask(wait_ms=random.choice((0, 5_000)))
    for watcher in watchers:
        watcher.catch_up()
        held = {identity(key): stored(node, key) for key in keys}
        assert dict(watcher.told) == {key: entry for key, entry in held.items() if entry is not None}


def stored(node: OneNode, key: str) -> bytes | None:
    return node.core.parts.replica.read(storage_key_of(identity(key)))[0]
