"""Messages of another data center: one message per replica, one acknowledgment, and results as merging gives them."""

from random import Random
from typing import Any

import pytest
from several_nodes import WALL_MS, Cluster, config
from test_adopting import OPERATIONS, Playing, check_that_adopting_is_merging, every_mixture

from crdtkv.causality.dot import Dot
from crdtkv.config.model import ClusterConfig
from crdtkv.crdt.causal import Event as Made
from crdtkv.crdt.entry import Entry
from crdtkv.ids import actor_name, identity_of
from crdtkv.node.kernel.effects import SendBus
from crdtkv.node.kernel.events import Received, StreamMessage
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import (
    APPLY_WIDTH,
    ApplyEntries,
    Confirm,
    GeoBatch,
    MembersPush,
    Message,
    Refusal,
    ReplicaWritten,
    WriteReplica,
)

QUIET = {"interval_s": 3600, "rebuild_s": 3600, "read_share": 0}
US = actor_name("us-1", 7)


def two() -> ClusterConfig:
    return config(3, ("eu", "us"), repair=QUIET)


class Receiving(Cluster):
    """eu, and what it does with messages of us."""

    def __init__(self, model: ClusterConfig | None = None) -> None:
        super().__init__(model or two())
        self._handles = 0

    def receive(self, name: str, *rows: tuple[bytes, Entry]) -> int:
        """Have a node pull a message with these keys and entries; return its handle."""
        self._handles += 1
        content: list[object] = [[number, key, entry.to_bytes()] for number, (key, entry) in enumerate(rows, 1)]
        self.handle(name, StreamMessage("us", self._handles, encode_frame(0, [GeoBatch("us-1", US, content)])))
        return self._handles

    def applied(self, handle: int) -> bool | None:
        """Return whether a message was acknowledged, None if it is not settled."""
        return next((ack.applied for ack in self.acknowledged if ack.handle == handle), None)


def register(key: str) -> bytes:
    return identity_of("default", "register", key)


def put(value: bytes, counter: int = 1, actor: str = US, before: Entry | None = None) -> Entry:
    stored = before or Entry.empty("register")
    return stored.merge(stored.delta("put", [value], Made(Dot(actor, counter), (WALL_MS << 16) + counter)))


def sent_of(cluster: Cluster, kind: type[Message]) -> list[tuple[str, str, Any]]:
    return [(sender, receiver, message) for sender, receiver, message in cluster.sent if isinstance(message, kind)]


def test_all_entries_go_in_one_message_to_each_replica_and_are_acknowledged_once() -> None:
    cluster = Receiving()
    cluster.sent.clear()
    keys = [register(f"k{number}") for number in range(20)]
    handle = cluster.receive("eu-1", *[(key, put(b"\x01")) for key in keys])
    applied = sent_of(cluster, ApplyEntries)
    assert sorted((sender, receiver, len(message.rows) // APPLY_WIDTH) for sender, receiver, message in applied) == [
        ("eu-1", "eu-2", 20),
        ("eu-1", "eu-3", 20),
    ]
    assert len(sent_of(cluster, ReplicaWritten)) == 2
    assert sent_of(cluster, WriteReplica) == []
    assert cluster.applied(handle)
    assert all(cluster.holders(key) == cluster.names for key in keys)


def test_a_message_is_applied_when_a_majority_has_all_of_it() -> None:
    cluster = Receiving()
    cluster.loses = lambda sender, receiver, message: isinstance(message, ReplicaWritten) and sender == "eu-3"
    assert cluster.applied(cluster.receive("eu-1", (register("a"), put(b"\x01")))) is True
    cluster.loses = lambda sender, receiver, message: isinstance(message, ReplicaWritten)
    late = cluster.receive("eu-1", (register("b"), put(b"\x01")))
    assert cluster.applied(late) is None
    cluster.run(6)
    assert cluster.applied(late) is False


def test_a_message_that_cannot_be_stored_here_is_delivered_again() -> None:
    cluster = Receiving()
    cluster.cores["eu-1"].parts.replica.has_disk_space = False
    cluster.sent.clear()
    assert cluster.applied(cluster.receive("eu-1", (register("a"), put(b"\x01")))) is False
    assert sent_of(cluster, ApplyEntries) == []


def test_a_replica_without_room_refuses_the_message_and_the_others_are_enough() -> None:
    cluster = Receiving()
    cluster.cores["eu-2"].parts.replica.has_disk_space = False
    assert cluster.applied(cluster.receive("eu-1", (register("a"), put(b"\x01")))) is True
    assert {refusal.code for _, _, refusal in sent_of(cluster, Refusal)} == {"insufficient_storage"}
    assert cluster.cores["eu-1"].parts.hints.has(storage_key_of(register("a")))


def test_an_absent_replica_gets_hints() -> None:
    """The simulator does not show a mistake here, because anti-entropy brings the entries as well."""
    cluster = Receiving()
    cluster.stop("eu-3")
    assert (
        cluster.applied(cluster.receive("eu-1", (register("a"), put(b"\x01")), (register("b"), put(b"\x02")))) is True
    )
    cluster.start("eu-3")
    cluster.run(3)
    assert cluster.stored("eu-3", register("a")) == put(b"\x01").to_bytes()
    assert cluster.stored("eu-3", register("b")) == put(b"\x02").to_bytes()


def test_what_is_known_already_is_confirmed_without_a_write() -> None:
    cluster = Receiving()
    cluster.receive("eu-1", (register("a"), put(b"\x01")))
    before = {name: core.parts.replica.commits.number for name, core in cluster.cores.items()}
    assert cluster.applied(cluster.receive("eu-2", (register("a"), put(b"\x01")))) is True
    after = {name: core.parts.replica.commits.number for name, core in cluster.cores.items()}
    assert before == after


def test_evidence_of_lost_writes_is_not_adopted_unread() -> None:
    """us has a write of eu-3 that eu-3 does not know: it must notice, and take a new incarnation."""
    cluster = Receiving()
    eu_3 = cluster.cores["eu-3"].parts.replica.actor
    lost = put(b"\x02", 5, eu_3)
    assert cluster.applied(cluster.receive("eu-1", (register("a"), lost))) is True
    assert cluster.cores["eu-3"].parts.replica.actor != eu_3
    assert cluster.stored("eu-3", register("a")) == lost.to_bytes()


@pytest.mark.parametrize("rows", [[1], [b"no key", b"", b"", 0], [register("a"), b"\x80", b"", 0]])
def test_malformed_entries_are_refused(rows: list[object]) -> None:
    cluster = Receiving()
    handle = cluster.cores["eu-2"].handle
    effects = handle([Received("eu-1", cluster.topology.epoch, [ApplyEntries(9, rows)])], cluster._now("eu-2"))
    assert [message.id for message in effects.at_once["eu-1"] if isinstance(message, Refusal)] == [9]


class PlayingTwo(Receiving, Playing):
    """A data center that receives messages, without read repair and anti-entropy."""

    def __init__(self) -> None:
        Receiving.__init__(self)


def play(cluster: Receiving, seed: int, type_tags: list[str]) -> None:
    """Have both data centers write the same keys, and us send; with losses inside eu, the same for one seed."""
    random, losses = Random(seed), Random(seed + 1)
    theirs: dict[bytes, Entry] = {}
    for _ in range(60):
        type_tag = random.choice(type_tags)
        key = identity_of("default", type_tag, random.choice("ab"))
        name, arguments = random.choice(OPERATIONS[type_tag])(random)
        loses = random.random() < 0.3
        cluster.loses = lambda _, __, message, loses=loses: (  # type: ignore[misc]
            loses and not isinstance(message, MembersPush) and losses.random() < 0.5
        )
        if random.random() < 0.4:
            cluster.try_to_mutate(name, *arguments, at=random.choice(cluster.homes), key=key, level="ONE")
        else:
            stored = theirs.get(key) or Entry.empty(type_tag)
            if random.random() < 0.4 and (held := cluster.stored(random.choice(cluster.homes), key)) is not None:
                stored = stored.merge(Entry.from_bytes(held))
            timestamp = max(stored.state.newest(), (WALL_MS + int(cluster.now_s * 1000)) << 16) + 1
            expires_at = timestamp + (300 << 16) if type_tag != "map" and random.random() < 0.2 else None
            event = Made(Dot(US, stored.context.highest(US) + 1), timestamp)
            theirs[key] = stored.merge(stored.delta(name, arguments, event, None, expires_at))
            rows = [(one, theirs[one]) for one in sorted(theirs) if one == key or random.random() < 0.3]
            cluster.receive(random.choice(cluster.homes), *rows)
        cluster.loses = lambda *_: False
        cluster.now_s += random.choice((0.0, 0.0, 0.3))


@pytest.mark.interpreted
@every_mixture
def test_adopting_what_another_data_center_sent_comes_to_what_merging_it_comes_to(
    type_tags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_that_adopting_is_merging(monkeypatch, PlayingTwo, play, type_tags)


@pytest.mark.interpreted
def test_a_confirmation_names_the_rows() -> None:
    cluster = Receiving()
    sent: list[SendBus] = []
    core = cluster.cores["eu-1"]
    right = core.handle
    core.handle = lambda events, now: _noted(right(events, now), sent)  # type: ignore[method-assign]
    cluster.receive("eu-1", (register("a"), put(b"\x01")), (register("b"), put(b"\x02")))
    ((datacenter, node, payload),) = sent
    assert (datacenter, node) == ("us", "us-1")
    assert decode_frame(payload).messages == [Confirm("eu", US, [1, 2])]


def _noted(effects: Any, sent: list[SendBus]) -> Any:
    sent += effects.held_bus
    return effects
