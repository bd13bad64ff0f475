"""Gossip by direct calls: spreading, suspecting together, refuting, and what a message may hold."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.membership.gossip import Gossip, GossipPush, GossipReply, GossipSettings, Status
from crdtkv.node.membership.member import Load, Member


class Ring:
    """Some nodes and a clock. Every round each node ticks; messages arrive at once, but for those of the absent."""

    def __init__(self, names: str, settings: GossipSettings | None = None) -> None:
        self.names = names
        self.now = 0.0
        self.settings = settings
        self.nodes = {name: self.start(name, 1) for name in names}
        self.absent: set[str] = set()

    def start(self, name: str, generation: int) -> Gossip:
        incarnation = 100 * generation
        return Gossip(name, generation, incarnation, self.names, Random(name), self.now, self.settings)

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.5
            for name, gossip in self.nodes.items():
                if name not in self.absent:
                    for peer, push in gossip.tick(self.now):
                        self.talk(gossip, peer, push)

    def talk(self, gossip: Gossip, peer: str, push: GossipPush) -> None:
        if peer not in self.absent:
            reply = self.nodes[peer].receive(push, self.now)
            assert isinstance(reply, GossipReply)
            gossip.receive(reply, self.now)

    def seconds(self, seconds: float) -> None:
        self.rounds(round(seconds * 2))

    def opinions_about(self, name: str) -> set[Status]:
        return {gossip.status(name) for other, gossip in self.nodes.items() if other not in {name, *self.absent}}

    def break_links_to(self, name: str) -> None:
        for other, gossip in self.nodes.items():
            if other not in {name, *self.absent}:
                gossip.evidence(name, self.now)


def test_news_of_a_load_reach_everybody_in_a_few_rounds() -> None:
    ring = Ring("abcdefgh")
    ring.rounds(1)
    busy = Load(operations_per_s=900, queue_depth=3, commit_us=700, disk_used_percent=41)
    for peer, push in ring.nodes["a"].tick(ring.now, busy):
        ring.talk(ring.nodes["a"], peer, push)
    # From here on `a` ticks with an idle load, so its silence keeps the news.
    ring.absent = {"a"}
    ring.rounds(3)
    assert {gossip.table["a"].load for gossip in ring.nodes.values()} == {busy}


def test_after_every_exchange_both_sides_know_the_same() -> None:
    ring = Ring("abcde")
    ring.rounds(4)
    one, other = ring.nodes["a"], ring.nodes["d"]
    ring.talk(one, "d", GossipPush(one.table.newest(100)))
    assert one.table == other.table


def test_a_silent_node_is_down_for_all_within_five_seconds() -> None:
    ring = Ring("abcde")
    ring.seconds(5)
    ring.absent = {"c"}
    ring.seconds(5)
    assert ring.opinions_about("c") == {Status.DOWN}
    assert ring.nodes["a"].down() == ["c"]
    assert ring.nodes["a"].suspected() == ["c"]


def test_a_killed_node_whose_links_break_is_down_for_all_within_two_seconds() -> None:
    ring = Ring("abcde")
    ring.seconds(5)
    ring.absent = {"c"}
    ring.break_links_to("c")
    ring.seconds(2)
    assert ring.opinions_about("c") == {Status.DOWN}


def test_broken_links_alone_take_nobody_for_down() -> None:
    ring = Ring("abcde")
    ring.seconds(5)
    for _ in range(20):
        ring.break_links_to("c")
        ring.rounds(1)
        assert ring.opinions_about("c") == {Status.ALIVE}


def test_a_link_that_stands_again_lengthens_the_wait_again() -> None:
    ring = Ring("abcde")
    ring.seconds(5)
    ring.absent = {"c"}
    ring.break_links_to("c")
    for gossip in ring.nodes.values():
        gossip.linked("c", ring.now)
    ring.seconds(1.5)
    assert ring.opinions_about("c") == {Status.ALIVE}


def test_one_observer_suspects_and_a_second_one_makes_it_down() -> None:
    gossip = Gossip("a", 1, 0, "abc", Random(1), 0.0)
    for step in range(6):
        gossip.tick(step / 2)
        gossip.receive(GossipReply([Member("b", 1, step + 1)]), step / 2)
    assert gossip.status("c") is Status.SUSPECTED
    gossip.receive(GossipReply([Member("c", 0, 0).with_suspicions(["b"])]), 2.6)
    assert gossip.status("c") is Status.DOWN
    assert gossip.status("b") is Status.ALIVE


def test_what_another_suspects_is_not_down_before_this_node_doubts_it_as_well() -> None:
    gossip = Gossip("a", 1, 0, "abc", Random(1), 0.0)
    gossip.tick(0.0)
    gossip.receive(GossipReply([Member("c", 1, 5).with_suspicions(["b"])]), 0.1)
    assert gossip.status("c") is Status.ALIVE


def test_a_suspicion_of_an_older_heartbeat_confirms_nothing() -> None:
    gossip = Gossip("a", 1, 0, "abc", Random(1), 0.0)
    gossip.receive(GossipReply([Member("c", 1, 5)]), 0.0)
    for step in range(6):
        gossip.tick(step / 2)
        gossip.receive(GossipReply([Member("b", 1, step + 1), Member("c", 1, 4).with_suspicions(["b"])]), step / 2)
    assert gossip.status("c") is Status.SUSPECTED


def test_a_heartbeat_refutes_every_suspicion() -> None:
    ring = Ring("abcd")
    ring.seconds(5)
    ring.absent = {"c"}
    ring.seconds(5)
    ring.absent = set()
    ring.seconds(1.5)
    assert ring.opinions_about("c") == {Status.ALIVE}
    assert ring.nodes["a"].table["c"].suspicions == ()


def test_a_node_that_is_started_again_is_alive_again() -> None:
    ring = Ring("abcd")
    ring.seconds(30)
    ring.absent = {"c"}
    ring.seconds(5)
    ring.nodes["c"] = ring.start("c", 2)
    ring.absent = set()
    ring.seconds(1.5)
    assert ring.opinions_about("c") == {Status.ALIVE}
    assert ring.nodes["a"].table["c"].incarnation == 200


def test_a_node_that_lost_count_of_its_starts_begins_above_what_others_remember() -> None:
    """Its disk was wiped: it says generation 1 again, and everybody knows a higher heartbeat of that."""
    ring = Ring("abcd")
    ring.seconds(30)
    ring.absent = {"c"}
    ring.seconds(5)
    ring.nodes["c"] = ring.start("c", 1)
    ring.absent = set()
    ring.seconds(2)
    assert ring.nodes["c"].generation == 2
    assert ring.opinions_about("c") == {Status.ALIVE}


def test_in_a_ring_of_two_one_observer_suffices() -> None:
    ring = Ring("ab")
    ring.seconds(2)
    ring.absent = {"b"}
    ring.seconds(3)
    assert ring.nodes["a"].status("b") is Status.DOWN


def test_the_last_one_left_needs_nobody_to_agree() -> None:
    ring = Ring("abc")
    ring.seconds(5)
    ring.absent = {"b"}
    ring.seconds(4)
    ring.absent = {"b", "c"}
    ring.seconds(4)
    assert ring.nodes["a"].down() == ["b", "c"]


def test_a_node_that_was_paused_suspects_nobody_on_waking_although_its_links_are_closed() -> None:
    ring = Ring("abcd")
    ring.seconds(5)
    ring.absent = {"a"}
    ring.seconds(30)
    ring.absent = set()
    paused = ring.nodes["a"]
    for peer in "bcd":
        paused.evidence(peer, ring.now)
    paused.tick(ring.now)
    assert paused.suspected() == []
    ring.seconds(5)
    assert paused.suspected() == []
    assert ring.opinions_about("a") == {Status.ALIVE}


def test_the_others_take_a_paused_node_for_down_until_it_wakes() -> None:
    ring = Ring("abcd")
    ring.seconds(5)
    ring.absent = {"a"}
    ring.seconds(10)
    assert ring.opinions_about("a") == {Status.DOWN}


def test_two_halves_of_a_ring_take_each_other_for_down_and_meet_again() -> None:
    ring = Ring("abcdef")
    ring.seconds(5)
    here, there = set("abc"), set("def")
    for _ in range(16):
        for half in (here, there):
            ring.absent = half
            ring.rounds(1)
            ring.now -= 0.25
    assert ring.nodes["a"].down() == ["d", "e", "f"]
    ring.absent = set()
    ring.seconds(3)
    assert [gossip.down() for gossip in ring.nodes.values()] == [[]] * 6


def test_everybody_is_visited_in_turn() -> None:
    gossip = Gossip("a", 1, 0, "abcdefg", Random(3), 0.0)
    visited = [peer for step in range(3) for peer, _ in gossip.tick(step / 2)]
    assert sorted(visited) == list("bcdefg")


def test_whoever_is_down_is_knocked_at_once_a_round_and_not_visited() -> None:
    ring = Ring("abcdef")
    ring.seconds(5)
    ring.absent = {"c"}
    ring.seconds(6)
    visits = [[peer for peer, _ in ring.nodes["a"].tick(ring.now)] for _ in range(8)]
    assert all(visit.count("c") == 1 and visit[-1] == "c" and len(visit) == 3 for visit in visits)


def test_the_next_round_is_due_half_a_second_later() -> None:
    gossip = Gossip("a", 1, 0, "abc", Random(1), 7.0)
    assert gossip.next_tick == 7.0
    gossip.tick(7.1)
    assert gossip.next_tick == 7.6


@pytest.mark.parametrize("rows_max", [1, 3, 5])
def test_no_message_holds_more_rows_than_allowed_and_a_push_holds_its_sender_first(rows_max: int) -> None:
    ring = Ring("abcdefgh", GossipSettings(rows_max=rows_max))
    ring.seconds(2)
    for _, push in ring.nodes["a"].tick(ring.now):
        assert len(push.rows) == rows_max
        assert push.rows[0].node == "a"
        reply = ring.nodes["b"].receive(push, ring.now)
        assert reply is not None
        assert len(reply.rows) <= rows_max


def test_a_message_that_holds_more_than_allowed_is_read_up_to_there() -> None:
    gossip = Gossip("a", 1, 0, "abcd", Random(1), 0.0, GossipSettings(rows_max=2))
    gossip.receive(GossipReply([Member(name, 1, 1) for name in "bcd"]), 0.0)
    assert repr(gossip.table) == "[a 0:0; b 1:1; c 1:1; d 0:0]"


def test_small_messages_carry_all_news_in_the_end() -> None:
    ring = Ring("abcdefgh", GossipSettings(rows_max=2))
    ring.seconds(20)
    for gossip in ring.nodes.values():
        assert all(gossip.table[name].heartbeat > 20 for name in ring.names)


def test_a_new_ring_is_followed() -> None:
    ring = Ring("abc")
    ring.seconds(3)
    gossip = ring.nodes["a"]
    gossip.follow(["a", "b", "d"], ring.now)
    assert gossip.table.nodes == ["a", "b", "d"]
    assert gossip.status("d") is Status.ALIVE
    visited = {peer for step in range(4) for peer, _ in gossip.tick(ring.now + step / 2)}
    assert visited == {"b", "d"}


@given(st.integers(0, 2**32), st.integers(2, 6))
def test_the_same_seed_makes_the_same_visits(seed: int, count: int) -> None:
    names = [f"n{number}" for number in range(count)]
    one, other = (Gossip("n0", 1, 0, order, Random(seed), 0.0) for order in (names, names[::-1]))
    for step in range(6):
        assert one.tick(step / 2) == other.tick(step / 2)
