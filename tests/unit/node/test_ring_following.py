"""How a topology document that only some nodes have seen comes to the others, and which ones are not followed."""

from dataclasses import replace

import pytest

from crdtkv.node.enrollment.enrollment import USURPED_MAX
from crdtkv.node.kernel.events import Received, TopologyChanged
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import TopologyNews
from tests.unit.node.several_nodes import CLIENT, Cluster, config


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(config(3))


def raised(topology: Topology, epoch: int) -> Topology:
    return replace(topology, epoch=epoch)


def test_a_node_that_missed_a_change_hears_of_it_from_another_one_without_the_bucket(cluster: Cluster) -> None:
    newer = raised(cluster.topology, cluster.topology.epoch + 2)
    for name in ("eu-1", "eu-3"):
        cluster.handle(name, TopologyChanged(newer))
    cluster.loses = lambda sender, receiver, message: "eu-3" in (sender, receiver)
    cluster.mutate("put", b"\x01", at="eu-2", level="LOCAL_QUORUM")
    cluster.run(1)
    cluster.mutate("put", b"\x02", at="eu-1", level="LOCAL_QUORUM")
    assert cluster.cores["eu-2"].topology == newer


def test_a_document_from_another_node_is_kept_on_the_disk(cluster: Cluster) -> None:
    newer = raised(cluster.topology, cluster.topology.epoch + 1)
    cluster.handle("eu-2", Received("eu-1", newer.epoch, [TopologyNews(newer.to_json())]))
    cluster.stop("eu-2")
    cluster.stores["eu-2"].crash()
    cluster.topology = Topology.from_json(cluster.stores["eu-2"].get(b"mtopology") or b"")
    assert cluster.topology == newer


def test_a_document_is_sent_once_to_a_node_that_speaks_often_under_an_older_epoch(cluster: Cluster) -> None:
    cluster.loses = lambda sender, receiver, message: isinstance(message, TopologyNews)
    cluster.sent.clear()
    newer = raised(cluster.topology, cluster.topology.epoch + 1)
    effects = [
        cluster.cores["eu-1"].handle(events, cluster._now("eu-1"))
        for events in ([TopologyChanged(newer)], *([Received("eu-2", 1, [])] for _ in range(50)))
    ]
    told = [message for one in effects for message in one.at_once.get("eu-2", []) if isinstance(message, TopologyNews)]
    assert told == [TopologyNews(newer.to_json())]


@pytest.mark.parametrize("field", ["cluster", "datacenter", "partitions"])
def test_the_document_of_another_ring_is_dropped(cluster: Cluster, field: str) -> None:
    foreign = replace(raised(cluster.topology, 99), **{field: 2 if field == "partitions" else "other"})
    cluster.handle("eu-2", Received("eu-1", 99, [TopologyNews(foreign.to_json())]))
    assert cluster.cores["eu-2"].topology == cluster.topology
    assert cluster.counted("junk_messages") == 1


def test_a_document_in_which_an_unknown_disk_counts_is_not_followed(cluster: Cluster) -> None:
    stranger = replace(cluster.topology.nodes[0], incarnation="ab" * 8)
    found = replace(cluster.topology.with_node(stranger), epoch=99)
    effects = cluster.cores["eu-2"].handle([TopologyChanged(found)], cluster._now("eu-2"))
    assert effects.refresh_topology
    assert cluster.cores["eu-2"].topology == cluster.topology


def test_a_node_with_another_address_than_the_document_says_enters_its_own(cluster: Cluster) -> None:
    moved = replace(cluster.topology.nodes[1], host="elsewhere", port=99)
    effects = cluster.cores["eu-2"].handle([TopologyChanged(cluster.topology.with_node(moved))], cluster._now("eu-2"))
    proposal = effects.held_proposal
    assert proposal is not None
    wanted = proposal.wanted.node("eu-2")
    assert wanted is not None
    assert (wanted.address, wanted.is_learner, wanted.replaces) == ("127.0.0.1:1", False, "")


def test_a_node_that_another_process_of_its_name_replaces_again_and_again_stops(cluster: Cluster) -> None:
    core = cluster.cores["eu-2"]
    mine = cluster.topology.nodes[1]
    other = replace(mine, incarnation="ab" * 8, is_learner=True, replaces=mine.incarnation)
    epoch, stops = cluster.topology.epoch, []
    for _ in range(USURPED_MAX):
        for row in (other, mine):
            epoch += 1
            cluster.now_s += 1
            found = replace(cluster.topology.with_node(row), epoch=epoch)
            stops.append(core.handle([TopologyChanged(found)], cluster._now("eu-2")).stop)
    assert stops[: 2 * USURPED_MAX - 2] == [None] * (2 * USURPED_MAX - 2)
    assert "another process enters itself as eu-2" in (stops[-2] or "")


def test_a_client_is_not_sent_the_document_unasked(cluster: Cluster) -> None:
    effects = cluster.cores["eu-1"].handle([Received(CLIENT, 0, [])], cluster._now("eu-1"))
    assert effects.at_once == {}
