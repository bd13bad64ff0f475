"""Writes that a replica stores unread: all it then holds is what merging would have come to."""

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import pytest
from one_node import OneNode, identity, to
from several_nodes import Cluster, config, is_write

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.config.model import ClusterConfig
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.hashing import digest_of
from crdtkv.ids import identity_of
from crdtkv.node.replica.replica import Replica
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.codec import MAX_INT
from crdtkv.wire.messages import WRITE_WIDTH, Message, Refusal, ReplicaWritten, WriteReplica, WriteReplicas

ELEMENTS = [cbor.encode_value(f"e{number}") for number in range(4)]
NOTHING = bytes(16)

OPERATIONS: dict[str, list[Callable[[Random], tuple[str, list[Any]]]]] = {
    "register": [lambda random: ("put", [bytes([0x18, random.randrange(24, 256)])]), lambda _: ("delete", [])],
    "lww": [lambda random: ("put", [bytes([0x18, random.randrange(24, 256)])]), lambda _: ("delete", [])],
    "counter": [lambda random: ("increment", [random.randint(-3, 3)]), lambda _: ("delete", [])],
    "set": [lambda random: ("add", [random.choice(ELEMENTS)]), lambda random: ("remove", [random.choice(ELEMENTS)])],
    "flag": [lambda _: ("enable", []), lambda _: ("disable", [])],
    "dwflag": [lambda _: ("enable", []), lambda _: ("disable", [])],
    "map": [
        lambda random: ("update", [["counter", b"hits"], "increment", random.randint(1, 3)]),
        lambda random: ("update", [["register", b"name"], "put", random.choice(ELEMENTS)]),
    ],
}

every_mixture = pytest.mark.parametrize("type_tags", [*([tag] for tag in OPERATIONS), list(OPERATIONS)], ids="-".join)


def play(cluster: Cluster, seed: int, type_tags: list[str]) -> None:
    """Have clients write through any home replica, with losses; the same calls for the same seed."""
    random = Random(seed)
    contexts: dict[bytes, CausalContext] = {}
    losses = Random(seed + 1)
    for _ in range(60):
        type_tag = random.choice(type_tags)
        key = identity_of("default", type_tag, random.choice("ab"))
        name, arguments = random.choice(OPERATIONS[type_tag])(random)
        loses = random.random() < 0.3
        cluster.loses = lambda _, __, message, loses=loses: (  # type: ignore[misc]
            loses and is_write(message) and losses.random() < 0.5
        )
        takes_context = type_tag in ("register", "set", "flag", "dwflag") and random.random() < 0.4
        cluster.try_to_mutate(
            name,
            *arguments,
            at=random.choice(cluster.homes),
            key=key,
            seen=contexts.get(key) if takes_context else None,
            ttl_ms=random.choice((None, None, None, 500)) if type_tag != "map" else None,
            level="ONE",
        )
        cluster.loses = lambda *_: False
        cluster.now_s += random.choice((0.0, 0.0, 0.3))
        if random.random() < 0.5:
            entry = Entry.from_bytes(held) if (held := cluster.stored(random.choice(cluster.homes), key)) else None
            if entry is not None:
                contexts[key] = entry.context


class Playing(Cluster):
    """A data center without read repair and anti-entropy, which would bring other messages."""

    def __init__(self, model: ClusterConfig | None = None) -> None:
        super().__init__(model or config(3, repair={"interval_s": 3600, "rebuild_s": 3600, "read_share": 0}))

    def everything(self) -> dict[str, object]:
        """Return all rows of all nodes, their Merkle roots and their clocks."""
        return {
            name: (
                self.stores[name].scan(b"", b"\xff", 10_000),
                core.parts.anti_entropy.roots(),
                core.parts.replica.clock.last,
                [entry and entry.expires_at for entry in core.parts.replica._cache._entries.values()],
            )
            for name, core in self.cores.items()
        }


P = TypeVar("P", bound=Playing)


def check_that_adopting_is_merging(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[], P], plays: Callable[[P, int, list[str]], None], tags: list[str]
) -> None:
    """Play the same with and without adopting; check that all nodes hold the same, and that most writes are adopted."""
    adopt = Replica.adopt
    for seed in range(6):
        adopted: list[bool] = []

        def counted(self: Replica, *arguments: Any, adopted: list[bool] = adopted) -> bool:
            adopted.append(adopt(self, *arguments))
            return adopted[-1]

        monkeypatch.setattr(Replica, "adopt", counted)
        adopting = begin()
        plays(adopting, seed, tags)
        monkeypatch.setattr(Replica, "adopt", lambda *_: False)
        merging = begin()
        plays(merging, seed, tags)
        assert adopting.everything() == merging.everything()
        assert adopted.count(True) >= 10, "most writes find the entry that they were made on"


@pytest.mark.interpreted
@every_mixture
def test_adopting_an_entry_comes_to_what_merging_it_comes_to(
    type_tags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_that_adopting_is_merging(monkeypatch, Playing, play, type_tags)


def written(key: str, value: bytes, counter: int, before: Entry | None = None) -> tuple[Entry, bytes]:
    """Return the entry after a put by eu-2, and the digest of the one before."""
    at = storage_key_of(identity(key))
    stored = before or Entry.empty("register")
    entry = stored.merge(stored.delta("put", [value], Event(Dot("eu-2.0000000000000000", counter), counter << 20)))
    return entry, digest_of(at, before.to_bytes()) if before is not None else NOTHING


def row(number: int, key: str, entry: Entry, made_on: bytes) -> list[object]:
    return [number, identity(key), entry.to_bytes(), 0, b"", made_on, entry.state.newest()]


def held(node: OneNode, key: str) -> bytes | None:
    return node.core.parts.replica.read(storage_key_of(identity(key)))[0]


def test_each_write_of_a_step_fails_alone() -> None:
    node = OneNode()
    key, other = (key for key in map(str, range(2)))
    good, none = written(key, b"\x01", 1)
    rows = [*row(1, key, good, none), *row(2, other, good, none)]
    rows[WRITE_WIDTH + 2] = b"\x86\x02"  # an entry of a later format
    served = node.core.parts.load.served
    sent = node.from_node("eu-2", WriteReplicas(rows))
    assert node.core.parts.load.served == served + 2
    assert to(sent, ReplicaWritten)["eu-2"].ids == [1]
    assert to(sent, Refusal)["eu-2"][:2] == (2, "protocol_error")
    assert (held(node, key), held(node, other)) == (good.to_bytes(), None)


def test_an_entry_that_was_made_on_another_one_is_merged() -> None:
    node = OneNode()
    first, none = written("k", b"\x01", 1)
    node.put("k", "here")
    before = held(node, "k")
    sent = node.from_node("eu-2", WriteReplicas(row(1, "k", first, none)))
    assert to(sent, ReplicaWritten)["eu-2"].ids == [1]
    assert before is not None
    assert held(node, "k") == Entry.from_bytes(before).merge(first).to_bytes() != first.to_bytes()


def test_a_write_that_arrives_again_changes_nothing() -> None:
    node = OneNode()
    first, none = written("k", b"\x01", 1)
    second, after_first = written("k", b"\x02", 2, first)
    for rows in (row(1, "k", first, none), row(2, "k", second, after_first), row(1, "k", first, none)):
        assert to(node.from_node("eu-2", WriteReplicas(rows)), ReplicaWritten)["eu-2"].ids == [rows[0]]
    assert held(node, "k") == second.to_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rows: rows[:-1],
        lambda rows: ["1", *rows[1:]],
        lambda rows: [-1, *rows[1:]],
        lambda rows: [MAX_INT + 1, *rows[1:]],
        lambda rows: [True, *rows[1:]],
        lambda rows: [*rows[:2], None, *rows[3:]],
        lambda rows: [*rows[:6], 1.5],
        lambda rows: [[1], *rows[1:]],
    ],
)
def test_malformed_writes_are_dropped_as_a_whole(wrong: Callable[[list[object]], list[object]]) -> None:
    node = OneNode()
    good, none = written("k", b"\x01", 1)
    rows = row(1, "k", good, none)
    node.from_node("eu-2", WriteReplicas([*row(2, "other", written("other", b"\x01", 1)[0], none), *wrong(rows)]))
    assert (held(node, "k"), held(node, "other")) == (None, None)
    assert node.counters["junk_messages"] == 1


def test_the_writes_of_one_step_share_a_message_and_each_can_be_sent_again() -> None:
    node = OneNode()
    keys = [key for key in map(str, range(200)) if node.homes(key)][:5]
    sent: dict[Any, list[Message]] = {}
    for key in keys:
        for peer, messages in node.put(key, "v", level="LOCAL_ALL").items():
            sent.setdefault(peer, []).extend(messages)
    rows = [message.rows for message in sent["eu-2"] if isinstance(message, WriteReplicas)]
    numbers = [number for some in rows for number in some[::WRITE_WIDTH]]
    assert len(numbers) == len(keys)
    node.from_node("eu-2", *(Refusal(number, "wrong_epoch", [1]) for number in numbers if isinstance(number, int)))
    again = node.wait(0.2)
    assert sorted(message.id for message in again["eu-2"] if isinstance(message, WriteReplica)) == sorted(numbers)
