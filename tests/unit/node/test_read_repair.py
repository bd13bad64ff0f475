"""Read repair brings replicas to what was read: it merges, and drops nothing of what any of them held."""

import pytest
from several_nodes import CLIENT, KEY, WALL_MS, Cluster, config

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity
from crdtkv.node.events import Received
from crdtkv.node.keys import KeyCheck
from crdtkv.ring.token import located
from crdtkv.wire.messages import GetRequest, WriteReplica

OLDER = Entry.empty("register").delta("put", [b"\x61A"], Event(Dot("us-1.00000000000000aa", 1), WALL_MS << 16), None)
NEWER = Entry.empty("register").delta(
    "put", [b"\x61B"], Event(Dot("ap-1.00000000000000bb", 1), (WALL_MS << 16) + 1), None
)
BOTH = OLDER.merge(NEWER)
HELD = {
    "two hold both, one nothing": (BOTH, BOTH, None),
    "each holds another one": (OLDER, NEWER, None),
    "one holds the older only": (BOTH, OLDER, BOTH),
}


def hold(cluster: Cluster, node: str, entry: Entry) -> None:
    core = cluster.cores[node]
    core.replica.merge(KeyCheck(frozenset([parse_identity(KEY).bucket])).from_peer(KEY), entry)
    core.replica.commit()
    cluster.stores[node].sync()


def versions(entry: Entry | None) -> set[object]:
    return set(entry.state.versions) if entry is not None else set()  # type: ignore[attr-defined]


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
@pytest.mark.parametrize("level", ["LOCAL_ALL", "LOCAL_QUORUM", "ONE"])
def test_a_read_takes_no_sibling_from_any_replica(held: tuple[Entry | None, ...], level: str) -> None:
    cluster = Cluster(config(3))
    for node, entry in zip(cluster.names, held, strict=True):
        if entry is not None:
            hold(cluster, node, entry)
    cluster.handle("eu-1", Received(CLIENT, 0, [GetRequest(99, [KEY], level, 5000)]))
    now = [cluster.cores[name].replica.entry(located(KEY)) for name in cluster.names]
    for before, entry in zip(held, now, strict=True):
        assert versions(before) <= versions(entry)
    if level == "LOCAL_ALL":
        assert now == [BOTH] * 3
    repairs = [message for _, _, message in cluster.sent if isinstance(message, WriteReplica)]
    assert [message.supersede_before for message in repairs] == [0] * len(repairs)
