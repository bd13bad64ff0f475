"""A node among newer ones: it stores, serves and hands on entries of types it does not know, and loses none."""

from typing import Any

import pytest
from one_node import CLIENT, OneNode, to
from several_nodes import Cluster, config
from two_datacenters import World

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import BUNDLE, Entry
from crdtkv.crdt.registry import TYPES
from crdtkv.ids import actor_name, identity_of
from crdtkv.node.kernel.events import BusUp, Received, StreamMessage
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import (
    EntriesReply,
    ErrorReply,
    GeoBatch,
    GetRequest,
    HandOff,
    KeepHint,
    MutateRequest,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaWritten,
    ScanRequest,
    WriteReplica,
)

KEY = identity_of("default", "hologram", "k")
A, B = actor_name("eu-2", 1), actor_name("us-1", 1)
OLD = cbor.encode([1, "hologram", [{"any": "thing"}], [A, 1], [], None])
NEW = cbor.encode([1, "hologram", [b"at", -1.5], [A, 2], [], [A, 2, 2**62]])
CONCURRENT = cbor.encode([1, "hologram", None, [A, 1, B, 1], [B, 3], None])
BOTH = cbor.encode([BUNDLE, "hologram", sorted([NEW, CONCURRENT])])


def held(node: OneNode) -> bytes | None:
    return to(node.from_node("eu-3", ReadReplica(99, KEY)), ReplicaEntry)["eu-3"].entry


@pytest.fixture
def node() -> OneNode:
    return OneNode()


@pytest.fixture
def cluster() -> Cluster:
    """Return the nodes of one of two data centers; their bus is up."""
    cluster = Cluster(config(nodes=3, datacenters=("eu", "us")))
    for name in cluster.names:
        cluster.handle(name, BusUp())
    cluster.run(3)
    cluster.published.clear()
    return cluster


def write(cluster: Cluster, at: str, entry: bytes) -> None:
    sender = next(name for name in cluster.names if name != at)
    cluster.handle(at, Received(sender, cluster.topology.epoch, [WriteReplica(1, KEY, entry, 0)]))


def published(cluster: Cluster) -> list[tuple[bytes, bytes]]:
    """Return the keys and entries that were sent to other data centers."""
    batches = [decode_frame(publish.payload).messages[0] for publish in cluster.published]
    rows: list[Any] = [row for batch in batches if isinstance(batch, GeoBatch) for row in batch.rows]
    return [(identity, entry) for _, identity, entry in rows]


def batch(*entries: bytes) -> bytes:
    rows: list[object] = [[number, KEY, entry] for number, entry in enumerate(entries, 1)]
    return encode_frame(0, [GeoBatch("us-1", B, rows)])


def test_what_a_node_cannot_read_is_stored_and_served_byte_for_byte(node: OneNode) -> None:
    assert to(node.from_node("eu-2", WriteReplica(7, KEY, OLD, 0)), ReplicaWritten)["eu-2"].ids == [7]
    assert held(node) == OLD
    node.from_node("eu-2", WriteReplica(8, KEY, NEW, 0))
    node.from_node("eu-2", WriteReplica(9, KEY, OLD, 0))
    assert held(node) == NEW


def test_concurrent_versions_are_served_in_a_bundle(node: OneNode) -> None:
    node.from_node("eu-2", WriteReplica(7, KEY, NEW, 0))
    node.from_node("eu-3", WriteReplica(8, KEY, CONCURRENT, 0))
    assert held(node) == BOTH
    node.from_node("eu-3", WriteReplica(9, KEY, BOTH, 0))
    assert held(node) == BOTH


def test_a_blind_write_of_an_unknown_type_supersedes_nothing_here(node: OneNode) -> None:
    node.from_node("eu-2", WriteReplica(7, KEY, NEW, 0))
    sent = node.from_node("eu-3", WriteReplica(8, KEY, CONCURRENT, 2**62))
    assert to(sent, ReplicaWritten)["eu-3"].ids == [8]
    assert held(node) == BOTH


def test_a_part_of_an_unknown_type_is_taken_only_where_its_basis_is_seen(node: OneNode) -> None:
    basis: list[object] = [[A, 1], []]
    assert to(node.from_node("eu-2", WriteReplica(7, KEY, NEW, 0, basis)), Refusal)["eu-2"].code == "behind"
    assert held(node) is None


def test_what_no_node_could_have_written_is_refused(node: OneNode) -> None:
    for entry in (b"", b"\xf6", cbor.encode([1, "hologram", [], ["a", 0], [], None]), cbor.encode([1, "x", []])):
        assert to(node.from_node("eu-2", WriteReplica(7, KEY, entry, 0)), Refusal)["eu-2"].code == "protocol_error"
    other = cbor.encode([1, "graph", [], [A, 1], [], None])
    assert to(node.from_node("eu-2", WriteReplica(7, KEY, other, 0)), Refusal)["eu-2"].code == "protocol_error"
    assert held(node) is None


def test_what_a_node_cannot_read_survives_a_restart(cluster: Cluster) -> None:
    home = cluster.homes[0]
    write(cluster, home, NEW)
    write(cluster, home, CONCURRENT)
    cluster.stop(home)
    cluster.start(home)
    write(cluster, home, OLD)
    assert cluster.stored(home, KEY) == BOTH


def test_what_a_node_cannot_read_gets_to_the_other_replicas_through_merkle_trees(cluster: Cluster) -> None:
    first, second, third = cluster.homes
    write(cluster, first, NEW)
    write(cluster, second, CONCURRENT)
    assert cluster.stored(third, KEY) is None
    cluster.run(30)
    assert {cluster.stored(home, KEY) for home in cluster.homes} == {BOTH}


def test_what_a_node_cannot_read_is_never_collected() -> None:
    cluster = Cluster()
    for home in cluster.homes:
        write(cluster, home, OLD)
    cluster.run(60)
    assert cluster.holders(KEY) == sorted(cluster.homes)
    assert all(len(core.parts.replica.tombstones) == 0 for core in cluster.cores.values())


def test_a_hint_of_an_unknown_type_is_kept_and_delivered(cluster: Cluster) -> None:
    cluster = Cluster()
    absent = cluster.homes[2]
    cluster.stop(absent)
    hint = KeepHint(1, absent, KEY, NEW, False)
    cluster.handle(cluster.fallback, Received(cluster.homes[0], cluster.topology.epoch, [hint]))
    assert cluster.holders(KEY) == []
    cluster.start(absent)
    cluster.run(5)
    assert cluster.counted("hints_delivered") == 1
    assert cluster.stored(absent, KEY) == NEW


def test_an_unsent_entry_of_an_unknown_type_goes_to_the_other_data_centers(cluster: Cluster) -> None:
    home = cluster.homes[0]
    write(cluster, home, CONCURRENT)
    assert published(cluster) == []
    cluster.handle(home, Received(cluster.homes[1], cluster.topology.epoch, [HandOff(1, KEY, NEW)]))
    assert published(cluster) == [(KEY, BOTH)]


def test_what_a_node_cannot_read_is_exchanged_with_other_data_centers() -> None:
    world = World(geo={"compare_interval_s": 1})
    here, there = world.cores["eu-1"], world.cores["us-2"]
    for core, entry in ((here, NEW), (there, CONCURRENT)):
        key = core.parts.keys.from_peer(KEY)
        core.parts.replica.merge(key, Entry.from_replica(entry, key.type_tag))
    world.settle(10)
    held = {store.get(rows.data_row(storage_key_of(KEY))) for store in world.stores.values()}
    assert held == {BOTH}


def test_a_batch_from_another_data_center_is_stored_on_all_replicas_and_acknowledged(cluster: Cluster) -> None:
    first, second, _ = cluster.homes
    write(cluster, second, CONCURRENT)
    cluster.handle(first, StreamMessage("us", 5, batch(NEW)))
    assert [(ack.handle, ack.applied) for ack in cluster.acknowledged] == [(5, True)]
    cluster.run(30)
    assert {cluster.stored(home, KEY) for home in cluster.homes} == {BOTH}
    assert cluster.counted("dead_letters") == 0


def test_a_bundle_from_another_data_center_is_taken_as_one(cluster: Cluster) -> None:
    cluster.handle(cluster.homes[0], StreamMessage("us", 5, batch(BOTH)))
    assert {cluster.stored(home, KEY) for home in cluster.homes} == {BOTH}


def test_a_damaged_entry_of_an_unknown_type_is_a_dead_letter(cluster: Cluster) -> None:
    upside_down = cbor.encode([BUNDLE, "hologram", sorted([NEW, CONCURRENT], reverse=True)])
    cluster.handle(cluster.homes[0], StreamMessage("us", 5, batch(upside_down)))
    assert cluster.counted("dead_letters") == 1
    assert cluster.holders(KEY) == []


def test_clients_are_told_that_the_type_is_unknown_here(node: OneNode) -> None:
    node.from_node("eu-2", WriteReplica(7, KEY, NEW, 0))
    requests = (
        GetRequest(1, [KEY], "ONE", 1000),
        MutateRequest(1, KEY, "spin", [], None, 0, "ONE", 1000),
        ScanRequest(1, 0, b"default\0hologram\0", b"", 10, "ONE", 1000),
    )
    for request in requests:
        reply = to(node.ask(request), ErrorReply)[CLIENT]
        assert reply.code == "invalid_request"
        assert "unknown type 'hologram'" in str(reply.fields)


def test_a_node_that_was_upgraded_reads_what_it_had_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(config(nodes=3))
    key = identity_of("default", "set", "k")
    cluster.mutate("add", b"\x01", key=key)
    shared = cluster.read(key)
    assert shared is not None
    known = TYPES["set"]
    home = cluster.homes[0]
    versions = [
        shared.merge(shared.delta("add", [element], _event(actor))) for element, actor in ((b"\x02", A), (b"\x03", B))
    ]
    with monkeypatch.context() as older:
        older.delitem(TYPES, "set")
        cluster.stop(home)
        cluster.start(home)
        for version in versions:
            message = WriteReplica(1, key, version.to_bytes(), 0)
            cluster.handle(home, Received(cluster.homes[1], cluster.topology.epoch, [message]))
        stored = cluster.stored(home, key)
        assert stored is not None
        assert cbor.decode(stored)[0] == BUNDLE
    assert TYPES["set"] is known
    cluster.stop(home)
    cluster.start(home)
    cluster.run(30)
    for at in cluster.homes:
        entry = cluster.read(key, at=at, level="ONE")
        assert entry is not None
        assert repr(entry.state) == "set(01, 02, 03)"
    cluster.mutate("add", b"\x04", key=key, at=home)
    assert len({cluster.stored(name, key) for name in cluster.homes}) == 1


def _event(actor: str) -> Event:
    return Event(Dot(actor, 1), 1)


def test_an_entry_read_by_a_client_is_never_a_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    # An upgraded node may still hold one on its disk; whoever reads it must not need to know.
    node = OneNode()
    key = identity_of("default", "set", "k")
    empty = Entry.empty("set")
    versions = [empty.delta("add", [element], _event(actor)) for element, actor in ((b"\x02", A), (b"\x03", B))]
    bundle = cbor.encode([BUNDLE, "set", sorted(version.to_bytes() for version in versions)])
    node.from_node("eu-2", WriteReplica(7, key, bundle, 0))
    node.sync()
    reply = to(node.ask(GetRequest(1, [key], "ONE", 1000)), EntriesReply)[CLIENT]
    assert reply.entries == [versions[0].merge(versions[1]).to_bytes()]
