"""Tombstones of one data center: which nodes must agree before collection, and what a node may do afterwards."""

import pytest
from several_nodes import GRACE_S, KEY, STEP_S, Cluster, config, fields_of, is_write

from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import Received
from crdtkv.node.tombstone_gc.collection import ELSEWHERE
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.wire.messages import DropTombstones, KeepHint, TombstonesRequest


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_tombstone_stays_for_the_grace_and_goes_when_all_have_agreed_long_enough(cluster: Cluster) -> None:
    cluster.mutate("put", b"books")
    cluster.mutate("delete")
    cluster.run(GRACE_S - 1)
    assert cluster.holders() == sorted(cluster.homes)
    assert cluster.counted("collection_rounds") == 0
    cluster.run(2 * GRACE_S + 5)
    assert cluster.holders() == []
    assert cluster.read() is None
    assert cluster.counted("tombstones_collected") == 3


def test_a_collected_key_leaves_no_row_and_no_share_of_the_merkle_tree(cluster: Cluster) -> None:
    cluster.run(30)
    empty = {name: core.parts.anti_entropy.roots() for name, core in cluster.cores.items()}
    cluster.mutate("put", b"books")
    cluster.mutate("delete")
    cluster.run(3 * GRACE_S)
    assert {name: core.parts.anti_entropy.roots() for name, core in cluster.cores.items()} == empty
    for store in cluster.stores.values():
        assert store.scan(*rows.DATA_RANGE, 10) == store.scan(*rows.TOMBSTONE_RANGE, 10) == []


def test_a_key_that_is_written_again_is_not_collected(cluster: Cluster) -> None:
    cluster.mutate("delete")
    cluster.run(GRACE_S + 2)
    cluster.mutate("put", b"books")
    cluster.run(3 * GRACE_S)
    assert cluster.holders() == sorted(cluster.homes)
    assert cluster.cores[cluster.homes[0]].parts.collection.snapshot == {"rows": 0, "waiting_for": {}}


@pytest.mark.parametrize("which", ["home", "fallback replica"])
def test_a_node_that_is_down_is_waited_for_and_named(cluster: Cluster, which: str) -> None:
    absent = cluster.homes[2] if which == "home" else cluster.fallback
    cluster.mutate("delete")
    cluster.stop(absent)
    cluster.run(5 * GRACE_S)
    assert set(cluster.homes) - {absent} <= set(cluster.holders())
    assert cluster.cores[cluster.homes[0]].parts.collection.snapshot == {"rows": 1, "waiting_for": {absent: 1}}
    cluster.start(absent)
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == []


def test_with_other_data_centers_tombstones_stay() -> None:
    cluster = Cluster(config(datacenters=("eu", "us")))
    cluster.mutate("delete")
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == sorted(cluster.homes)
    assert cluster.cores[cluster.homes[0]].parts.collection.snapshot == {"rows": 1, "waiting_for": {ELSEWHERE: 1}}


def test_a_hint_for_the_key_anywhere_keeps_its_tombstone(cluster: Cluster) -> None:
    put = cluster.mutate("put", b"books")
    old = cluster.stores[cluster.homes[0]].get(rows.data_row(storage_key_of(KEY)))
    assert old is not None
    assert put.counter == 1
    cluster.mutate("delete")
    # The fallback replica cannot reach the home replica it keeps the old version for.
    cluster.loses = lambda sender, receiver, message: is_write(message)
    hint = KeepHint(1, cluster.homes[1], KEY, old, False)
    cluster.handle(cluster.fallback, Received(cluster.homes[0], cluster.topology.epoch, [hint]))
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == sorted(cluster.homes)
    assert cluster.cores[cluster.homes[0]].parts.collection.snapshot["waiting_for"] == {cluster.fallback: 1}
    cluster.loses = lambda sender, receiver, message: False
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == []


def test_a_hint_that_came_and_went_meanwhile_begins_the_waiting_anew(cluster: Cluster) -> None:
    cluster.mutate("delete")
    tombstone = cluster.stores[cluster.homes[0]].get(rows.data_row(storage_key_of(KEY)))
    assert tombstone is not None
    while not any(isinstance(message, TombstonesRequest) for _, _, message in cluster.sent):
        cluster.run(STEP_S)
    agreed_s = cluster.now_s
    cluster.run(GRACE_S / 2)
    hint = KeepHint(1, cluster.homes[1], KEY, tombstone, False)
    cluster.handle(cluster.fallback, Received(cluster.homes[0], cluster.topology.epoch, [hint]))
    cluster.run(agreed_s + 1.3 * GRACE_S - cluster.now_s)
    assert cluster.counted("hints_delivered") == 1
    assert cluster.holders() == sorted(cluster.homes)
    cluster.run(2 * GRACE_S)
    assert cluster.holders() == []


@pytest.mark.interpreted
def test_a_learner_among_the_home_replicas_is_waited_for(cluster: Cluster) -> None:
    cluster.mutate("delete")
    learner = cluster.topology.node(cluster.homes[1])
    assert learner is not None
    for core in cluster.cores.values():
        core.parts.ring.follow(cluster.topology.with_node(type(learner)(**{**fields_of(learner), "is_learner": True})))
        core.parts.enrollment._learn = lambda: None  # type: ignore[method-assign]
    cluster.topology = core.topology
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == sorted(cluster.homes)


def test_a_replica_that_missed_the_drop_brings_the_tombstone_back_and_it_goes_later(cluster: Cluster) -> None:
    cluster.mutate("delete")
    deaf = cluster.homes[2]
    cluster.loses = lambda sender, receiver, message: isinstance(message, DropTombstones) and receiver == deaf
    while cluster.counted("tombstones_collected") == 0:
        cluster.run(1)
    cluster.run(8)
    assert cluster.homes[0] in cluster.holders(), "the collector drops last"
    cluster.loses = lambda sender, receiver, message: False
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == []


def test_a_node_makes_no_dot_twice_on_a_key_it_has_forgotten(cluster: Cluster) -> None:
    first = cluster.mutate("put", b"books")
    second = cluster.mutate("delete")
    assert [second.counter, second.actor] == [2, first.actor]
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == []
    again = cluster.mutate("put", b"lamps")
    assert again.counter == 1
    assert again.actor == first.actor + "-1"


def test_the_name_to_write_under_survives_a_restart(cluster: Cluster) -> None:
    cluster.mutate("delete")
    cluster.run(4 * GRACE_S)
    home = cluster.homes[0]
    actor = cluster.cores[home].parts.replica.actor
    assert actor.endswith("-1")
    cluster.stop(home)
    cluster.start(home)
    assert cluster.cores[home].parts.replica.actor == actor


def test_notes_of_tombstones_survive_a_restart(cluster: Cluster) -> None:
    cluster.mutate("delete")
    for home in cluster.homes:
        cluster.stop(home)
        cluster.start(home)
        assert len(cluster.cores[home].parts.replica.tombstones) == 1
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == []


def test_a_context_from_before_the_collection_resurrects_nothing(cluster: Cluster) -> None:
    cluster.mutate("put", b"books")
    entry = cluster.read()
    assert entry is not None
    cluster.mutate("delete")
    cluster.run(4 * GRACE_S)
    cluster.mutate("put", b"lamps", seen=entry.context)
    read = cluster.read()
    assert read is not None
    assert [version.value for version in read.state.versions] == [b"lamps"]  # type: ignore[attr-defined]
    assert cluster.counted("incarnations_renewed") == 0


def test_an_lww_written_after_the_collection_is_stamped_above_what_was_collected(cluster: Cluster) -> None:
    key = identity_of("default", "lww", "cart")
    deleted = cluster.mutate("delete", key=key)
    cluster.run(5 * GRACE_S)
    assert cluster.holders(key) == []
    for name in cluster.names:
        cluster.stop(name)
    for name in cluster.names:
        cluster.wall_offset_ms[name] = -3_600_000
        cluster.start(name)
    cluster.run(3)
    assert cluster.mutate("put", b"lamps", key=key).timestamp > deleted.timestamp


def test_a_tombstone_noted_by_a_clock_that_was_ahead_has_its_grace_from_now_on(cluster: Cluster) -> None:
    late = cluster.homes[1]
    cluster.wall_offset_ms[late] = 3_600_000
    cluster.mutate("delete")
    cluster.wall_offset_ms[late] = 0
    cluster.run(5 * GRACE_S)
    assert cluster.holders() == []


def test_rounds_ask_about_so_many_tombstones_at_a_time_and_come_to_all(cluster: Cluster) -> None:
    fast = cluster.config.collection.model_copy(update={"batch_max": 2})
    cluster = Cluster(cluster.config.model_copy(update={"collection": fast}))
    keys = [identity_of("default", "register", f"cart-{number}") for number in range(7)]
    for key in keys:
        cluster.mutate("delete", key=key)
    cluster.run(6 * GRACE_S)
    assert [cluster.holders(key) for key in keys] == [[]] * 7
    asked = [message for _, _, message in cluster.sent if isinstance(message, TombstonesRequest)]
    assert {len(message.tombstones) for message in asked} == {1, 2}
