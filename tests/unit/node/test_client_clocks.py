"""A client's timestamp orders its own writes. It moves no node's clock, and ends no time to live."""

from several_nodes import CLIENT, KEY, WALL_MS, Cluster, config

from crdtkv.causality.hybrid_clock import FOLLOW_MS, from_wall_ms, wall_ms_of
from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import Received
from crdtkv.wire.messages import ErrorReply, MutateReply, MutateRequest

AHEAD_MS = 59_500
OTHER = identity_of("default", "lww", "other")


def put(
    cluster: Cluster, key: bytes, observed: int = 0, ttl_ms: int = 0, context: list[object] | None = None
) -> object:
    request = MutateRequest(500, key, "put", [b"\x01"], context, observed, "LOCAL_ALL", 1000, ttl_ms)
    cluster.handle("eu-1", Received(CLIENT, 0, [request]))
    return cluster.answers.pop()


def wall_ms(cluster: Cluster) -> int:
    return WALL_MS + int(cluster.now_s * 1000)


def test_a_stamp_from_the_future_orders_its_own_write_and_moves_no_clock() -> None:
    cluster = Cluster(config(3))
    ahead = from_wall_ms(wall_ms(cluster) + AHEAD_MS)
    reply = put(cluster, KEY, observed=ahead)
    assert isinstance(reply, MutateReply)
    assert reply.timestamp > ahead
    for core in cluster.cores.values():
        assert wall_ms_of(core.parts.replica.clock.last) <= wall_ms(cluster) + FOLLOW_MS
    after = put(cluster, OTHER)
    assert isinstance(after, MutateReply)
    assert wall_ms_of(after.timestamp) <= wall_ms(cluster) + FOLLOW_MS


def test_a_time_to_live_is_not_cut_short_by_a_client_whose_stamps_are_ahead() -> None:
    cluster = Cluster(config(3))
    assert isinstance(put(cluster, KEY, ttl_ms=40_000), MutateReply)
    assert isinstance(put(cluster, OTHER, observed=from_wall_ms(wall_ms(cluster) + AHEAD_MS)), MutateReply)
    cluster.run(39)
    read = cluster.read()
    assert read is not None
    assert not read.is_tombstone
    cluster.run(1.5)
    read = cluster.read()
    assert read is not None
    assert read.is_tombstone


def test_a_time_to_live_does_not_begin_at_a_stamp_that_is_ahead() -> None:
    cluster = Cluster(config(3))
    ahead = from_wall_ms(wall_ms(cluster) + AHEAD_MS)
    assert isinstance(put(cluster, KEY, observed=ahead, ttl_ms=5_000), MutateReply)
    cluster.run(5.5)
    read = cluster.read()
    assert read is not None
    assert read.is_tombstone


def test_a_write_that_is_stamped_ahead_does_not_clear_what_has_not_expired() -> None:
    cluster = Cluster(config(3))
    carts = identity_of("default", "set", "cart")
    cluster.mutate("add", b"\x01", key=carts, ttl_ms=40_000)
    ahead = from_wall_ms(wall_ms(cluster) + AHEAD_MS)
    request = MutateRequest(500, carts, "add", [b"\x02"], None, ahead, "LOCAL_ALL", 1000)
    cluster.handle("eu-1", Received(CLIENT, 0, [request]))
    cluster.answers.clear()
    cluster.run(30)
    read = cluster.read(carts)
    assert read is not None
    assert set(read.state.members) == {b"\x01", b"\x02"}


def test_a_context_that_no_node_hands_out_is_refused() -> None:
    cluster = Cluster(config(3))
    actors = [part for number in range(1000) for part in (f"n{number:04d}.{number:016x}", 1)]
    for context in ([actors, []], [["eu-9.00000000000000aa", 2**61], []], [[], ["eu-9.00000000000000aa", 2**61]]):
        reply = put(cluster, KEY, context=context)
        assert isinstance(reply, ErrorReply)
        assert reply.code == "invalid_request"
    assert not cluster.holders()
