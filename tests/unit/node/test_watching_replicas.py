"""Watches at one of several replicas: each replica reports every change of its own entries, whatever its origin."""

from typing import Any

import pytest
from several_nodes import CLIENT, GRACE_S, Cluster, config, is_write

from crdtkv.crdt.entry import Entry
from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import Received
from crdtkv.wire.messages import Message, MutateReply, WatchReply, WatchRequest

ALL = b"\1"  # of one partition


class Watcher:
    """A client that watches at one node at a time, and records the values, None for a tombstone."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.follow(node)
        self.told: list[bytes | None] = []

    def follow(self, node: str) -> None:
        """Go to a node, with nothing it could know."""
        self.node = node
        self.cursor = b""

    def catch_up(self) -> list[bytes | None]:
        """Take in all there is, and return the values."""
        before = len(self.told)
        while True:
            request = WatchRequest(1, [b"default\0register\0"], ALL, self.cursor, 100, 0)
            self.cluster.handle(self.node, Received(CLIENT, 0, [request]))
            reply = self.cluster.answers.pop()
            assert isinstance(reply, WatchReply), reply
            self.cursor = reply.cursor
            self.told += [value_of(entry) for _, entry in reply.rows]  # type: ignore[misc]
            if reply.position == reply.head:
                return self.told[before:]


def value_of(encoded: bytes) -> bytes | None:
    state: Any = Entry.from_bytes(encoded).state
    return state.siblings()[0].value if not state.is_empty else None


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def deaf(name: str) -> Any:
    def loses(_: str, receiver: str, message: Message) -> bool:
        return receiver == name and is_write(message)

    return loses


def test_a_write_is_told_at_every_replica_whoever_took_it(cluster: Cluster) -> None:
    watchers = [Watcher(cluster, name) for name in cluster.homes]
    for watcher in watchers:
        assert watcher.catch_up() == []
    cluster.mutate("put", b"books")
    assert [watcher.catch_up() for watcher in watchers] == [[b"books"]] * 3


def test_what_a_replica_missed_is_told_when_hints_or_repair_bring_it(cluster: Cluster) -> None:
    first, behind, _ = cluster.homes
    watcher = Watcher(cluster, behind)
    watcher.catch_up()
    cluster.loses = deaf(behind)
    cluster.mutate("put", b"missed", at=first, level="ONE")
    assert watcher.catch_up() == []
    cluster.loses = lambda *_: False
    cluster.run(5)
    assert watcher.catch_up() == [b"missed"]


def test_a_replica_that_is_behind_tells_what_it_has_and_the_newest_when_it_has_caught_up(cluster: Cluster) -> None:
    first, behind, _ = cluster.homes
    cluster.mutate("put", b"old", at=first)
    watcher = Watcher(cluster, first)
    cluster.loses = deaf(behind)
    cluster.mutate("put", b"new", at=first, level="ONE")
    assert watcher.catch_up() == [b"new"]
    watcher.follow(behind)
    assert watcher.catch_up() == [b"old"]
    cluster.loses = lambda *_: False
    cluster.run(5)
    assert watcher.catch_up() == [b"new"]


def test_a_write_is_told_also_when_too_few_replicas_have_it_to_be_acknowledged(cluster: Cluster) -> None:
    first = cluster.homes[0]
    watcher = Watcher(cluster, first)
    watcher.catch_up()
    cluster.loses = lambda _, __, message: is_write(message)
    before = len(cluster.answers)
    with pytest.raises(IndexError):
        cluster.try_to_mutate("put", b"alone", at=first, level="LOCAL_ALL")
    assert not [answer for answer in cluster.answers[before:] if isinstance(answer, MutateReply)]
    assert watcher.catch_up() == [b"alone"]


def test_who_is_told_the_whole_state_again_does_not_hear_of_tombstones_collected_meanwhile(cluster: Cluster) -> None:
    first = cluster.homes[0]
    watcher, other = Watcher(cluster, first), Watcher(cluster, first)
    cluster.mutate("put", b"books")
    watcher.catch_up()
    cluster.mutate("delete")
    cluster.run(3 * GRACE_S + 5)
    assert cluster.holders() == []
    assert other.catch_up() == []


def test_restarts_and_losses_at_random_skip_nothing() -> None:
    cluster = Cluster(config(nodes=3))
    watcher = Watcher(cluster, cluster.names[0])
    newest: dict[bytes, bytes] = {}
    for number in range(60):
        key = identity_of("default", "register", str(number % 7))
        cluster.loses = deaf(cluster.names[number % 3]) if number % 4 == 0 else (lambda *_: False)
        at = cluster.names[number % 3]
        newest[key] = b"%d" % number
        cluster.mutate("put", newest[key], at=at, key=key, level="ONE")
        if number % 3 == 0:
            watcher.catch_up()
        if number % 10 == 0:
            gone = cluster.names[number // 10 % 3]
            cluster.stop(gone)
            if watcher.node == gone:
                watcher.follow(next(name for name in cluster.names if name != gone))
            cluster.start(gone)
    cluster.loses = lambda *_: False
    cluster.run(10)
    watcher.catch_up()
    last = {int(value) % 7: value for value in watcher.told if value is not None}
    assert last == {number: newest[identity_of("default", "register", str(number))] for number in range(7)}
