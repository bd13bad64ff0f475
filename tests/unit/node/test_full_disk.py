"""One disk is below its floor: the other replicas hold everything, so everything that they can do is done."""

import pytest
from several_nodes import CLIENT, KEY, Cluster, config

from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import DiskSpace, Received
from crdtkv.wire.messages import EntriesReply, GetRequest, MutateReply


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(config(3))
    cluster.handle("eu-2", DiskSpace(is_sufficient=False))
    return cluster


@pytest.mark.parametrize("level", ["LOCAL_QUORUM", "LINEARIZABLE", "SLOPPY_QUORUM"])
@pytest.mark.parametrize("at", ["eu-1", "eu-2", "eu-3"])
def test_a_quorum_read_does_without_a_replica_that_cannot_be_repaired(cluster: Cluster, at: str, level: str) -> None:
    for number in range(10):
        key = identity_of("default", "register", f"k{number}")
        cluster.mutate("put", b"\x01", at="eu-1", key=key, level="LOCAL_QUORUM")
        read = cluster.read(key, at=at, level=level)
        assert read is not None
        assert read.state.versions[0].value == b"\x01"


@pytest.mark.parametrize("at", ["eu-1", "eu-3"])
def test_an_operation_that_reads_a_quorum_first_does_without_it(cluster: Cluster, at: str) -> None:
    for number in range(10):
        key = identity_of("default", "set", f"k{number}")
        cluster.mutate("add", b"\x01", at="eu-1", key=key, level="LOCAL_QUORUM")
        reply = cluster.try_to_mutate("remove", b"\x01", at=at, key=key, level="LOCAL_QUORUM")
        assert isinstance(reply, MutateReply)


def test_a_replica_that_dies_while_it_is_repaired_is_done_without(cluster: Cluster) -> None:
    cluster.handle("eu-2", DiskSpace(is_sufficient=True))
    cluster.loses = lambda sender, receiver, message: receiver == "eu-2"
    cluster.mutate("put", b"\x01", at="eu-1", level="LOCAL_QUORUM")
    cluster.loses = lambda sender, receiver, message: type(message).__name__ in ("WriteReplica", "WriteReplicas")
    core = cluster.cores["eu-1"]
    core.parts.selector.latencies.answered("eu-2", 0.0001)
    core.parts.selector.latencies.answered("eu-3", 0.1)
    cluster.now_s += 1
    cluster.handle("eu-1", Received(CLIENT, 0, [GetRequest(900, [KEY], "LOCAL_QUORUM", 1000)]))
    assert not cluster.answers
    cluster.stop("eu-2")
    assert isinstance(cluster.answers.pop(), EntriesReply)
