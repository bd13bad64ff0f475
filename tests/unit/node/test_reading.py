"""Reads that need other nodes: which ones a node asks, when it asks one more, and which reads it forwards."""

from dataclasses import replace

from one_node import CLIENT, ME, OneNode, identity, to

from crdtkv.node.kernel.events import PeerUp, Received, TopologyChanged
from crdtkv.node.quorum_calls.hedging import LONGEST_S, SHORTEST_S
from crdtkv.node.quorum_calls.replica_selector import COSTS_EVERY_S
from crdtkv.ring.topology import RingNode
from crdtkv.wire.messages import (
    DigestRead,
    DigestReply,
    EntriesReply,
    ErrorReply,
    GetRequest,
    MembersPush,
    MutateRequest,
    PartitionRows,
    ReadPartition,
    ScanRequest,
)

TICK_S = 0.001


def with_latencies(node: OneNode, **milliseconds: float) -> OneNode:
    """Let others have answered this fast for a while."""
    for name, one in milliseconds.items():
        for _ in range(100):
            node.core.parts.selector.latencies.answered(name.replace("_", "-"), one / 1000)
    node.core.parts.selector._until_explored = 10_000
    node.now_s += COSTS_EVERY_S
    return node


def test_a_quorum_read_asks_the_faster_replica() -> None:
    node = with_latencies(OneNode(), eu_2=20.0, eu_3=1.0)
    assert [list(to(node.get("k"), DigestRead)) for _ in range(4)] == [["eu-3"]] * 4


def test_of_equal_replicas_every_second_read_asks_the_other() -> None:
    node = with_latencies(OneNode(), eu_2=1.0, eu_3=1.0)
    asked = [next(iter(to(node.get("k"), DigestRead))) for _ in range(4)]
    assert asked in (["eu-2", "eu-3"] * 2, ["eu-3", "eu-2"] * 2)


def test_answers_and_their_times_are_what_a_replica_is_preferred_for() -> None:
    node = OneNode()
    for _ in range(40):
        (replica, request), *_ = to(node.get("k"), DigestRead).items()
        node.now_s += 0.02 if replica == "eu-2" else 0.001
        node.from_node(str(replica), DigestReply(request.id, []))
    asked = [next(iter(to(node.get("k"), DigestRead))) for _ in range(10)]
    assert asked.count("eu-3") >= 9


def test_a_late_read_asks_one_more_replica_after_the_usual_99th_percentile() -> None:
    node = with_latencies(OneNode(), eu_2=5.0, eu_3=5.0)
    (first, request), *_ = to(node.get("k"), DigestRead).items()
    assert to(node.wait(0.0049), DigestRead) == {}
    (second,) = to(node.wait(2 * TICK_S), DigestRead)
    assert {first, second} == {"eu-2", "eu-3"}
    assert node.counters["hedged_reads"] == 1
    assert CLIENT in to(node.from_node(str(second), DigestReply(request.id, [])), EntriesReply)


def test_while_nothing_is_known_of_the_replicas_a_late_read_waits_as_long_as_it_ever_does() -> None:
    node = OneNode()
    node.get("k")
    assert to(node.wait(LONGEST_S - TICK_S), DigestRead) == {}
    assert len(to(node.wait(2 * TICK_S), DigestRead)) == 1


def test_a_late_read_asks_one_spare_at_a_time() -> None:
    node = with_latencies(OneNode(5, 5), **{f"eu_{number}": 0.3 for number in range(2, 6)})
    asked = [*to(node.get("k", level="2,1"), DigestRead)]
    for count in (2, 3, 4):
        asked += to(node.wait(SHORTEST_S + 2 * TICK_S), DigestRead)
        assert len(set(asked)) == len(asked) == count
    assert to(node.wait(1.0), DigestRead) == {}


def test_a_hedged_read_still_needs_all_answers_its_level_asks_for() -> None:
    node = with_latencies(OneNode(5, 5), **{f"eu_{number}": 0.3 for number in range(2, 6)})
    asked = to(node.get("k"), DigestRead)
    asked |= to(node.wait(SHORTEST_S + 2 * TICK_S), DigestRead)
    first, second, third = asked
    number = asked[first].id
    assert node.from_node(str(third), DigestReply(number, [])).get(CLIENT) is None
    assert node.from_node(str(third), DigestReply(number, [])).get(CLIENT) is None
    assert CLIENT in node.from_node(str(second), DigestReply(number, []))


def test_a_read_that_may_not_hedge_waits_and_may_later() -> None:
    node = OneNode()
    while node.core.parts.quorum_calls._hedging.spend():
        pass
    node.get("k")
    assert to(node.wait(LONGEST_S + TICK_S), DigestRead) == {}
    assert node.counters == {"hedges_withheld": 1}
    for _ in range(20):
        node.core.parts.quorum_calls._hedging.earn()
    assert len(to(node.wait(LONGEST_S + 2 * TICK_S), DigestRead)) == 1


def test_a_replica_that_a_read_stopped_waiting_for_is_asked_last_from_then_on() -> None:
    node = with_latencies(OneNode(), eu_2=0.3, eu_3=0.3)
    (slow, request), *_ = to(node.get("k"), DigestRead).items()
    (fast,) = to(node.wait(SHORTEST_S + 2 * TICK_S), DigestRead)
    node.from_node(str(fast), DigestReply(request.id, []))
    usual = node.core.parts.selector.latencies.usual_s
    assert (usual(str(slow)) or 0) > (usual(str(fast)) or 0)
    for _ in range(3):
        for asked, request in to(node.get("k"), DigestRead).items():
            if asked != slow:
                node.from_node(str(asked), DigestReply(request.id, []))
                continue
            node.wait(SHORTEST_S + 2 * TICK_S)
            node.from_node(str(fast), DigestReply(request.id, []))
    assert [list(to(node.get("k"), DigestRead)) for _ in range(4)] == [[fast]] * 4


def test_a_read_that_times_out_counts_as_a_slow_answer_of_those_that_were_silent() -> None:
    node = OneNode()
    node.get("k")
    assert CLIENT in to(node.wait(5.1), ErrorReply)
    told = node.core.parts.selector.snapshot()
    assert max(one["usual_ms"] for one in told.values()) > 5000


def test_a_read_goes_to_the_faster_home_replica_and_a_write_to_the_first() -> None:
    node = OneNode(6)
    key = node.key_here(is_mine=False)
    first, second, third = node.homes(key)
    fast = {first: 30.0, second: 30.0, third: 1.0}
    with_latencies(node, **{name.replace("-", "_"): one for name, one in fast.items()})
    assert list(to(node.get(key), GetRequest)) == [third]
    assert list(to(node.get(key, level="ONE"), GetRequest)) == [third]
    assert list(to(node.put(key, "v"), MutateRequest)) == [first]


def test_a_forwarded_read_that_one_replica_answers_is_measured_and_a_larger_one_is_not() -> None:
    node = OneNode(6)
    key = node.key_here(is_mine=False)
    for level in ("LOCAL_QUORUM", "ONE"):
        (home, request), *_ = to(node.get(key, level=level), GetRequest).items()
        node.now_s += 0.004
        node.from_node(str(home), EntriesReply(request.id, [None]))
    assert [one["usual_ms"] for one in node.core.parts.selector.snapshot().values()] == [4.0]


def test_a_scan_asks_the_faster_replica() -> None:
    node = with_latencies(OneNode(), eu_2=20.0, eu_3=1.0)
    sent = node.ask(ScanRequest(1, 0, b"default\0register\0", b"", 10, "LOCAL_QUORUM", 5000))
    asked = to(sent, ReadPartition)
    assert list(asked) == ["eu-3"]
    assert CLIENT in node.from_node("eu-3", PartitionRows(asked["eu-3"].id, [], None))


def test_a_read_of_all_replicas_never_hedges() -> None:
    node = OneNode()
    assert len(to(node.get("k", level="LOCAL_ALL"), DigestRead)) == 2
    assert to(node.wait(1.0), DigestRead) == {}


def test_what_a_node_does_for_others_counts_in_the_load_it_gossips() -> None:
    node = OneNode()
    node.wait(3600)
    for number in range(20):
        node.from_node("eu-2", *[DigestRead(number, [identity("k"), b""])] * 900)
    (push, *_) = to(node.wait(3600), MembersPush).values()
    (mine,) = [row for row in push.rows if row[0] == ME]  # type: ignore[index]
    assert mine[4] == 20 * 900 / 3600  # type: ignore[index]


def test_a_node_that_has_just_joined_is_asked_before_anybody_knows_its_load() -> None:
    node = OneNode()
    joined = RingNode("eu-4", "127.0.0.1", 1, "default", 1.0, "0" * 16)
    larger = replace(node.core.topology, epoch=2, nodes=(*node.core.topology.nodes, joined))
    request = GetRequest(1, [identity(f"k{number}") for number in range(100)], "LOCAL_QUORUM", 5000)
    sent = node.step(TopologyChanged(larger), PeerUp("eu-4"), Received(CLIENT, 1, [request]))
    assert set(to(sent, DigestRead)) == {"eu-2", "eu-3", "eu-4"}


def test_status_tells_the_latencies() -> None:
    node = with_latencies(OneNode(), eu_2=20.0)
    assert node.core.status()["latencies"] == {"eu-2": {"usual_ms": 20.0, "p99_ms": 20.0}}


def test_what_a_client_reads_is_spread_over_equals() -> None:
    node, counts = OneNode(), {"eu-2": 0, "eu-3": 0}
    for first in range(0, 200, 20):
        sent = node.get(*[f"k{number}" for number in range(first, first + 20)])
        for peer, request in to(sent, DigestRead).items():
            counts[str(peer)] += len(request.rows) // 2
    assert sum(counts.values()) > 150
    assert min(counts.values()) > 50
