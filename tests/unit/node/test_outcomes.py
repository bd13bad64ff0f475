"""The number that a coordinator returns with an acknowledgement, and the cluster data that it sends a new client."""

import pytest
from several_nodes import CLIENT, Cluster, config, is_write

from crdtkv import cbor
from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import Received
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.messages import MutateReply, MutateRequest, TopologyReply, TopologyRequest

HITS = identity_of("default", "counter", "hits")
TOP = identity_of("default", "board", "top")
ADA = cbor.encode_value("ada")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def told(reply: MutateReply) -> object:
    return cbor.decode_value(reply.value) if reply.value is not None else None


def homes_of(cluster: Cluster, key: bytes) -> list[str]:
    return list(cluster.cores["eu-1"].parts.kernel.cluster.ring.preference_list(storage_key_of(key)))


def test_an_increment_is_answered_with_what_it_made(cluster: Cluster) -> None:
    first, second, _ = homes_of(cluster, HITS)
    assert told(cluster.mutate("increment", 3, at=first, key=HITS)) == 3
    assert told(cluster.mutate("increment", -1, at=second, key=HITS)) == 2
    assert told(cluster.mutate("delete", at=first, key=HITS)) is None
    assert told(cluster.mutate("increment", 5, at=second, key=HITS)) == 5


def test_a_node_that_hands_an_increment_on_passes_on_what_it_made(cluster: Cluster) -> None:
    elsewhere = next(name for name in cluster.names if name not in homes_of(cluster, HITS))
    assert told(cluster.mutate("increment", 3, at=elsewhere, key=HITS)) == 3


def test_what_is_told_is_what_the_coordinator_has_and_no_more(cluster: Cluster) -> None:
    first, second, _ = homes_of(cluster, HITS)
    cluster.loses = lambda sender, receiver, message: is_write(message)
    assert told(cluster.mutate("increment", 3, at=first, key=HITS, level="ONE")) == 3
    assert told(cluster.mutate("increment", 4, at=second, key=HITS, level="ONE")) == 4


def test_what_has_expired_is_not_told(cluster: Cluster) -> None:
    first, second, _ = homes_of(cluster, HITS)
    cluster.mutate("increment", 3, at=first, key=HITS, ttl_ms=1000)
    cluster.run(2)
    assert told(cluster.mutate("increment", 4, at=second, key=HITS)) == 4


def test_a_fallback_replica_returns_the_value_it_has(cluster: Cluster) -> None:
    for home in homes_of(cluster, HITS):
        cluster.stop(home)
    (fallback,) = cluster.cores
    assert told(cluster.mutate("increment", 3, at=fallback, key=HITS, level="ANY")) == 3
    assert told(cluster.mutate("increment", 3, at=fallback, key=HITS, level="ANY")) == 6


def test_a_score_is_told_and_nothing_of_what_is_set(cluster: Cluster) -> None:
    first = homes_of(cluster, TOP)[0]
    assert told(cluster.mutate("set", ADA, 10, at=first, key=TOP)) is None
    assert told(cluster.mutate("increment", ADA, 2.5, at=first, key=TOP)) == 12.5


def test_a_retry_that_finds_its_operation_done_tells_the_counter_too(cluster: Cluster) -> None:
    first, second, _ = homes_of(cluster, HITS)
    request = MutateRequest(7, HITS, "increment", [3], None, 0, "LOCAL_ALL", 5000, None, b"o" * 16, None, 0)
    cluster.handle(first, Received(CLIENT, 0, [request]))
    cluster.handle(second, Received(CLIENT, 0, [request._replace(tried=[first])]))
    replies = [answer for answer in cluster.answers if isinstance(answer, MutateReply)]
    assert [told(reply) for reply in replies] == [3, 3]
    assert replies[0][1:4] == replies[1][1:4], "both name the same write"


def test_a_retry_that_finds_what_has_expired_meanwhile_does_not_tell_it(cluster: Cluster) -> None:
    first, second, _ = homes_of(cluster, HITS)
    request = MutateRequest(7, HITS, "increment", [3], None, 0, "LOCAL_ALL", 5000, 1000, b"o" * 16)
    cluster.handle(first, Received(CLIENT, 0, [request]))
    cluster.run(2)
    cluster.handle(second, Received(CLIENT, 0, [request._replace(tried=[first])]))
    assert [told(answer) for answer in cluster.answers if isinstance(answer, MutateReply)] == [3, 0]


def test_a_client_is_told_which_data_centers_there_are_and_how_large_an_entry_may_be() -> None:
    cluster = Cluster(config(3, ("eu", "us", "ap"), limits={"entry_kib": 64}))
    cluster.handle("eu-1", Received(CLIENT, 0, [TopologyRequest(1)]))
    (reply,) = (answer for answer in cluster.answers if isinstance(answer, TopologyReply))
    assert reply.datacenters == ["ap", "eu", "us"]
    assert reply.entry_bytes == 64 * 1024
