"""Background read repair: a share of the reads that one replica answers is followed by a read of all."""

from math import inf

import pytest
from one_node import CLIENT, OneNode, identity, to

from crdtkv.node.coordinate.background_read_repair import AT_ONCE_MAX, PAUSE_S, TIMEOUT_S
from crdtkv.wire.messages import EntriesReply, ReadReplica, ReplicaEntry, WriteReplica


def sharing(share: float, **sections: dict[str, int]) -> OneNode:
    return OneNode(repair={"read_share": share}, **sections)


def followed(node: OneNode, reads: int) -> int:
    """Read at ONE, each time with a pause; return how many reads were followed by one of all."""
    before = node.counters.get("background_reads", 0)
    for number in range(reads):
        node.now_s += PAUSE_S
        for replica, request in to(node.get(f"k{number % 50}", level="ONE"), ReadReplica).items():
            node.from_node(str(replica), ReplicaEntry(request.id, None))
    return node.counters.get("background_reads", 0) - before


def test_a_read_is_answered_before_all_replicas_are_asked() -> None:
    node = sharing(1.0)
    sent = node.get("k", level="ONE")
    assert to(sent, EntriesReply)[CLIENT].entries == [None]
    assert set(to(sent, ReadReplica)) == {"eu-2", "eu-3"}
    assert node.counters["background_reads"] == 1


def test_what_others_lack_is_written_back_to_them() -> None:
    node = sharing(1.0)
    node.put("k", "v")
    node.sync()
    sent = node.get("k", level="ONE")
    (entry,) = to(sent, EntriesReply)[CLIENT].entries
    assert isinstance(entry, bytes)
    requests = to(sent, ReadReplica)
    assert node.from_node("eu-2", ReplicaEntry(requests["eu-2"].id, entry)) == {}
    sent = node.from_node("eu-3", ReplicaEntry(requests["eu-3"].id, None))
    assert {peer: write.entry for peer, write in to(sent, WriteReplica).items()} == {"eu-3": entry}


def test_what_this_node_lacks_it_takes_and_no_client_hears_of_it() -> None:
    node = sharing(1.0)
    other = OneNode(incarnation=9)
    other.put("k", "v")
    other.sync()
    (entry,) = to(other.get("k", level="ONE"), EntriesReply)[CLIENT].entries
    assert isinstance(entry, bytes)
    requests = to(node.get("k", level="ONE"), ReadReplica)
    answers = [node.from_node(str(peer), ReplicaEntry(one.id, entry)) for peer, one in requests.items()]
    assert not any(CLIENT in sent for sent in answers)
    node.sync()
    assert to(node.get("k", level="ONE"), EntriesReply)[CLIENT].entries == [entry]


def test_a_share_of_the_reads_is_followed() -> None:
    assert 60 < followed(sharing(0.05), 2_000) < 140


def test_at_a_share_of_one_every_read_is_followed_and_at_none_no_read_is() -> None:
    assert followed(sharing(1.0), 100) == 100
    assert followed(sharing(0.0), 100) == 0
    assert sharing(0.0).core.parts.coordinator._background._left == inf


def test_the_key_whose_turn_it_is_is_compared_among_all_that_are_read_together() -> None:
    node = sharing(0.05)
    node.core.parts.coordinator._background._left = 7
    requests = to(node.get(*[f"k{number}" for number in range(10)], level="ONE"), ReadReplica)
    assert {one.identity for one in requests.values()} == {identity("k7")}


def test_the_turn_is_found_also_when_other_keys_of_the_request_are_not_held_here() -> None:
    node = OneNode(6, repair={"read_share": 1.0})
    mine, other = node.key_here(), node.key_here(is_mine=False)
    sent = node.get(other, mine, other, level="ONE")
    assert {one.identity for one in to(sent, ReadReplica).values()} == {identity(mine)}


def test_a_read_at_a_quorum_is_not_followed() -> None:
    node = sharing(1.0)
    node.get("k", level="LOCAL_QUORUM")
    assert "background_reads" not in node.counters


def test_at_most_so_many_are_under_way_until_they_end() -> None:
    node = sharing(1.0)
    for number in range(AT_ONCE_MAX + 10):
        node.get(f"k{number}", level="ONE")
        node.now_s += PAUSE_S
    assert node.counters["background_reads"] == AT_ONCE_MAX
    node.wait(TIMEOUT_S)
    assert len(node.core.parts.kernel.calls) == 0
    node.get("k", level="ONE")
    assert node.counters["background_reads"] == AT_ONCE_MAX + 1


def test_reads_in_quick_succession_are_followed_by_one() -> None:
    node = sharing(1.0)
    for number in range(20):
        node.get(f"k{number}", level="ONE")
    assert node.counters["background_reads"] == 1


def test_a_node_that_is_half_full_of_requests_follows_none() -> None:
    node = sharing(1.0, limits={"calls_in_flight_max": 10})
    for number in range(6):
        node.get(f"q{number}", level="LOCAL_QUORUM")
    node.get("k", level="ONE")
    assert "background_reads" not in node.counters
    node.wait(6.0)
    node.get("k", level="ONE")
    assert node.counters["background_reads"] == 1


def test_a_node_that_is_alone_compares_with_nobody() -> None:
    node = OneNode(1, repair={"read_share": 1.0})
    assert followed(node, 10) == 0


@pytest.mark.parametrize("level", ["ONE", "ANY", "1,2"])
def test_every_level_that_reads_one_replica_is_followed(level: str) -> None:
    node = sharing(1.0)
    node.get("k", level=level)
    assert node.counters["background_reads"] == 1
