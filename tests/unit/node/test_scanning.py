"""A scan's pages, merged from replicas that hold different rows, and so end at different keys."""

import pytest
from several_nodes import CLIENT, WALL_MS, Cluster, config

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.ids import identity_of, identity_prefix
from crdtkv.node.kernel.events import Received
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.wire.messages import ScanReply, ScanRequest

NAMES = "abcdefgh"
#: Which keys each replica holds: the others of a key hold nothing, or an older value.
HELD = {
    "one holds nothing": (NAMES, NAMES, ""),
    "each holds others": ("abc", "def", "gh"),
    "one holds every second": (NAMES, "aceg", "bdfh"),
    "one holds one": ("d", NAMES, "h"),
}


def entry(name: str, number: int) -> Entry:
    event = Event(Dot("us-1.00000000000000aa", number), (WALL_MS << 16) + number)
    return Entry.empty("register").delta("put", [f"{name}{number}".encode()], event, None)


def hold(cluster: Cluster, node: str, name: str, number: int) -> None:
    core = cluster.cores[node]
    core.parts.replica.merge(
        KeyCheck(frozenset(["default"])).from_peer(identity_of("default", "register", name)), entry(name, number)
    )
    core.parts.replica.commits.commit()
    cluster.stores[node].sync()


def scanned(cluster: Cluster, limit: int) -> dict[bytes, list[bytes]]:
    """Scan all pages at `LOCAL_ALL`; return the values by key."""
    found: dict[bytes, list[bytes]] = {}
    after: bytes | None = b""
    while after is not None:
        cluster.answers.clear()
        request = ScanRequest(1, 0, identity_prefix("default", "register"), after, limit, "LOCAL_ALL", 5000)
        cluster.handle("eu-1", Received(CLIENT, 0, [request]))
        (reply,) = [answer for answer in cluster.answers if isinstance(answer, ScanReply)]
        for identity, encoded in reply.rows:  # type: ignore[misc]
            assert identity not in found, "a key comes once"
            found[identity] = [version.value for version in Entry.from_bytes(encoded).state.siblings()]  # type: ignore[attr-defined]
        after = reply.next_after
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
@pytest.mark.parametrize("older", [False, True], ids=["others hold nothing", "others hold an older value"])
def test_a_scan_tells_the_newest_of_every_key_once_however_its_pages_end(
    held: tuple[str, ...], limit: int, older: bool
) -> None:
    cluster = Cluster(config(3))
    for node, names in zip(cluster.names, held, strict=True):
        for name in NAMES:
            if name in names:
                hold(cluster, node, name, 1)
                hold(cluster, node, name, 2)
            elif older:
                hold(cluster, node, name, 1)
    all_names = sorted(NAMES if older else set("".join(held)))
    wanted = {identity_of("default", "register", name): name for name in all_names}
    found = scanned(cluster, limit)
    assert set(found) == set(wanted)
    assert all(f"{name}2".encode() in found[identity] for identity, name in wanted.items())
