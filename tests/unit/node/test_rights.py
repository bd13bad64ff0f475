"""Rights to decrement a bounded counter: requested from owners, given by them, used by one node only."""

from dataclasses import replace
from typing import Any

import pytest
from one_node import CLIENT, ME, OneNode, to
from several_nodes import is_write
from two_datacenters import NAMES, STOCK, World, owner_of

from crdtkv.ids import actor_name, identity_of
from crdtkv.node.kernel.events import BusMessage, DiskSpace, Received, TopologyChanged
from crdtkv.node.rights import rights
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import (
    Message,
    MutateRequest,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    RightsRequest,
    RightsWanted,
    WriteReplica,
)

#: A decrement may wait for three quarters of its time.
WAITS_S = 3.0


@pytest.fixture
def world() -> World:
    """Return nodes that all know of 10 in stock, all rights to which are at eu-1."""
    return stocked(10)


def stocked(amount: int, at: str = "eu-1", repair: dict[str, Any] | None = None) -> World:
    world = World(repair=repair)
    assert repr(world.do("increment", amount, at, "LOCAL_ALL")) == "ok"
    world.settle(1)
    world.sent.clear()
    return world


def requests(world: World) -> list[tuple[str, str, int]]:
    """Return who has asked whom for how many rights in the same data center."""
    return [(a, b, message.amount) for a, b, message in world.sent if isinstance(message, RightsRequest)]


# In one data center.


def test_a_decrement_at_a_node_without_rights_asks_for_some(world: World) -> None:
    assert repr(world.do("decrement", 4, "eu-2", "LOCAL_ALL")) == "ok"
    assert requests(world) == [("eu-2", "eu-1", 4)]
    assert (world.counted("rights_requested"), world.counted("rights_given")) == (1, 1)
    assert [world.counter(name).value for name in ("eu-1", "eu-2", "eu-3")] == [6, 6, 6]


def test_without_a_cache_of_entries_a_decrement_waits_as_well() -> None:
    """Every look at the entry is another object: it went round for ever (found by the simulator)."""
    world = World(entry_cache_mib=0)
    assert repr(world.do("increment", 10, "us-1", "LOCAL_ALL")) == "ok"
    world.settle(1)
    assert repr(world.do("decrement", 4, "eu-2", "LOCAL_ALL")) == "ok"


def test_a_node_gives_half_of_what_it_has_so_that_the_next_decrement_asks_nobody(world: World) -> None:
    world.do("decrement", 1, "eu-2")
    assert world.rights("eu-2") == {"eu-1": 5, "eu-2": 4}
    for _ in range(4):
        assert repr(world.do("decrement", 1, "eu-2")) == "ok"
    assert len(requests(world)) == 1


def test_a_node_gives_more_than_half_if_that_is_asked_for_and_all_if_it_is_not_enough(world: World) -> None:
    world.do("decrement", 7, "eu-2")
    assert world.rights("eu-2") == {"eu-1": 3}
    world.do("increment", 2, "eu-3", "LOCAL_ALL")
    world.sent.clear()
    assert repr(world.do("decrement", 5, "eu-2")) == "ok"
    assert requests(world) == [("eu-2", "eu-1", 5), ("eu-2", "eu-3", 2)]
    assert world.counter("eu-2").value == 0


def test_the_one_with_most_is_asked_first_and_nobody_else_if_that_is_enough(world: World) -> None:
    world.do("increment", 20, "eu-3", "LOCAL_ALL")
    assert repr(world.do("decrement", 12, "eu-2")) == "ok"
    assert requests(world) == [("eu-2", "eu-3", 12)]


def test_rights_are_durable_where_they_are_given_before_anybody_hears_of_them(world: World) -> None:
    asked = world.ask("decrement", 4, "eu-2")
    world.deliver("eu-2", "eu-1")
    assert not world.links.get(("eu-1", "eu-2"))
    world.crash("eu-1")
    world.start("eu-1")
    assert world.rights("eu-1") == {"eu-1": 10}
    world.flow()
    world.settle(1)
    assert repr(asked) == "ok"
    assert world.rights("eu-2") == {"eu-1": 5, "eu-2": 1}


def test_the_decrement_carries_the_rights_it_used_to_the_other_replicas(world: World) -> None:
    world.do("decrement", 4, "eu-2", "LOCAL_ALL")
    assert world.rights("eu-3") == {"eu-1": 5, "eu-2": 1}


def test_when_the_giver_crashes_before_it_gave_the_decrement_is_refused_and_nothing_is_lost(world: World) -> None:
    asked = world.ask("decrement", 4, "eu-2")
    world.crash("eu-1")
    world.flow()
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    assert asked.took_s == 0
    world.start("eu-1")
    assert repr(world.do("decrement", 4, "eu-2")) == "ok"
    assert repr(world.do("decrement", 6, "eu-2")) == "ok"


def test_a_giver_that_hangs_is_waited_for_until_the_time_is_almost_up(world: World) -> None:
    world.loses = lambda sender, receiver, message: isinstance(message, RightsRequest)
    asked = world.do("decrement", 4, "eu-2")
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    assert WAITS_S <= asked.took_s < WAITS_S + 0.5
    assert len(requests(world)) == 1, "a node that owes an answer is not asked again"
    assert not world.cores["eu-2"].parts.kernel.calls, "nothing waits any more"


def test_rights_whose_giver_was_cut_off_while_it_answered_arrive_with_repair() -> None:
    world = stocked(10, repair={"interval_s": 1.0, "rebuild_s": 3600, "read_share": 0})
    world.loses = lambda sender, receiver, message: isinstance(message, ReplicaEntry)
    # A link that loses a message is broken; both sides hear of that.
    asked = world.ask("decrement", 4, "eu-2", timeout_ms=100)
    world.flow()
    world.break_link("eu-1", "eu-2")
    world.settle(WAITS_S)
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    assert world.rights("eu-2") == {"eu-1": 5, "eu-2": 5}
    assert repr(world.do("decrement", 5, "eu-2")) == "ok"


def test_while_it_waits_a_decrement_uses_rights_that_arrive_with_replication() -> None:
    world = stocked(10, repair={"interval_s": 0.5, "rebuild_s": 3600, "read_share": 0})
    world.loses = lambda sender, receiver, message: isinstance(message, ReplicaEntry)
    asked = world.do("decrement", 4, "eu-2")
    assert repr(asked) == "ok"
    assert 0 < asked.took_s < WAITS_S


def test_more_than_the_counter_has_is_refused_at_once_and_no_rights_move(world: World) -> None:
    asked = world.do("decrement", 11, "eu-2")
    assert repr(asked) == "insufficient_rights [11, 0, 10]"
    assert asked.took_s == 0
    assert not requests(world)


def test_before_it_refuses_a_node_reads_a_quorum_because_it_may_have_missed_an_increment(world: World) -> None:
    world.loses = lambda sender, receiver, message: receiver == "eu-2" and is_write(message)
    world.do("increment", 5, "eu-3")
    world.settle(1)
    world.loses = lambda sender, receiver, message: False
    assert world.counter("eu-2").value == 10
    asked = world.do("decrement", 14, "eu-2")
    assert repr(asked) == "ok"
    assert asked.took_s == 0
    assert world.counter("eu-2").value == 1


def test_without_a_quorum_a_node_refuses_by_what_it_knows(world: World) -> None:
    world.crash("eu-1")
    world.crash("eu-3")
    asked = world.do("decrement", 4, "eu-2")
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    assert asked.took_s == 0


def test_a_counter_that_was_never_incremented_refuses_at_once() -> None:
    asked = World().do("decrement", 1, "eu-1")
    assert repr(asked) == "insufficient_rights [1, 0, 0]"
    assert asked.took_s == 0


def test_decrements_that_wait_share_what_is_asked_for(world: World) -> None:
    asked = [world.ask("decrement", 2, "eu-2") for _ in range(3)]
    world.flow()
    assert [repr(outcome) for outcome in asked] == ["ok", "ok", "ok"]
    assert requests(world) == [("eu-2", "eu-1", 2), ("eu-2", "eu-1", 1)]


def test_decrements_that_arrive_together_are_asked_for_together(world: World) -> None:
    batch: list[Message] = [MutateRequest(n, STOCK, "decrement", [2], None, 0, "ONE", 4000) for n in (1001, 1002, 1003)]
    outcomes = [world.expect(number) for number in (1001, 1002, 1003)]
    world.step("eu-2", Received(CLIENT, 0, batch))
    world.flow()
    assert requests(world) == [("eu-2", "eu-1", 6)]
    assert [repr(outcome) for outcome in outcomes] == ["ok", "ok", "ok"]


def test_a_decrement_that_fits_does_not_wait_for_one_that_does_not(world: World) -> None:
    world.do("decrement", 6, "eu-2")
    world.do("increment", 1, "eu-2", "LOCAL_ALL")
    world.loses = lambda sender, receiver, message: isinstance(message, RightsRequest)
    large = world.ask("decrement", 4, "eu-2")
    assert repr(world.do("decrement", 1, "eu-2")) == "ok"
    assert repr(large) == "unanswered"


def test_a_decrement_does_not_wait_longer_than_its_client_lets_it_begin(world: World) -> None:
    world.is_cut = True
    asked = world.expect(1001)
    begin_by_ms = int(world.now_s * 1000) + 1000
    request = MutateRequest(1001, STOCK, "decrement", [4], None, 0, "ONE", 4000, None, b"i" * 16, None, begin_by_ms)
    world.step("us-1", Received(CLIENT, 0, [request]))
    world.settle(0.9)
    assert repr(asked) == "unanswered"
    world.settle(0.5)
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    # By now the client may have asked another node. What arrives now is for whoever asks next.
    world.is_cut = False
    world.settle(WAITS_S)
    assert {world.counter(name).value for name in NAMES} == {10}


def test_past_the_bound_a_decrement_is_refused_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "WAITING_MAX", 2)
    asked = [world.ask("decrement", 1, "eu-2") for _ in range(3)]
    assert [repr(outcome) for outcome in asked] == ["unanswered", "unanswered", "insufficient_rights [1, 0, 10]"]


def test_a_transfer_that_a_client_asks_for_is_refused_as_before(world: World) -> None:
    asked = world.expect(1001)
    request = MutateRequest(1001, STOCK, "transfer", [4, owner_of("eu-3")], None, 0, "ONE", 4000)
    world.step("eu-2", Received(CLIENT, 0, [request]))
    assert repr(asked) == "insufficient_rights [4, 0, 10]"


# Two that ask at once.


@pytest.mark.parametrize(("here", "there"), [("eu-1", "eu-2"), ("eu-1", "us-2")])
def test_of_two_that_need_each_others_rights_one_gets_them_and_the_other_is_refused(here: str, there: str) -> None:
    world = stocked(5, here)
    world.do("increment", 5, there, "LOCAL_ALL")
    world.settle(1)
    asked = [world.ask("decrement", 8, here), world.ask("decrement", 8, there)]
    world.settle(WAITS_S + 1)
    assert sorted(map(repr, asked)) == ["insufficient_rights [8, 2, 2]", "ok"] or sorted(map(repr, asked)) == [
        "insufficient_rights [8, 0, 2]",
        "ok",
    ]
    assert world.counted("rights_given") == 1
    assert {world.counter(name).value for name in NAMES} == {2}


def test_two_that_need_each_others_rights_are_done_when_the_first_has_them() -> None:
    world = stocked(5)
    world.do("increment", 5, "eu-2", "LOCAL_ALL")
    asked = [world.ask("decrement", 8, "eu-1"), world.ask("decrement", 6, "eu-2")]
    world.settle(0.5)
    # Who is short of less is first.
    assert [repr(outcome) for outcome in asked] == ["insufficient_rights [8, 4, 4]", "ok"]


def test_a_node_gives_nothing_away_that_its_own_waiting_decrement_is_about_to_use(world: World) -> None:
    # The rights for eu-2 and a request for them arrive in one step.
    mine = world.ask("decrement", 8, "eu-2")
    world.deliver("eu-2", "eu-1")
    world.sync("eu-1")
    (gift,) = world.links.pop(("eu-1", "eu-2"))
    request = RightsRequest(1, STOCK, 1, owner_of("eu-3"))
    epoch = world.cores["eu-2"].parts.kernel.cluster.epoch
    world.step("eu-2", Received("eu-1", epoch, [gift]), Received("eu-3", epoch, [request]))
    assert world.counted("rights_given") == 1
    world.flow()
    assert repr(mine) == "ok"
    assert requests(world) == [("eu-2", "eu-1", 8)]


# Between data centers.


def test_rights_of_another_data_center_are_asked_for_over_the_bus_and_come_with_the_stream(world: World) -> None:
    asked = world.do("decrement", 4, "us-3", "LOCAL_ALL")
    assert repr(asked) == "ok"
    assert asked.took_s == 0, "it goes on as soon as the stream has brought them"
    world.settle(1)
    assert {world.counter(name).value for name in NAMES} == {6}
    assert world.rights("us-1") == {"eu-1": 5, "us-3": 1}


def test_those_of_this_data_center_are_asked_first() -> None:
    world = stocked(10)
    world.do("increment", 4, "us-1", "LOCAL_ALL")
    assert repr(world.do("decrement", 3, "us-2")) == "ok"
    assert requests(world) == [("us-2", "us-1", 3)]
    assert not world.bus
    assert repr(world.do("decrement", 10, "us-2")) == "ok"


def test_while_data_centers_are_cut_apart_rights_are_waited_for_and_after_healing_they_come(world: World) -> None:
    world.is_cut = True
    asked = world.do("decrement", 4, "us-1")
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    assert WAITS_S <= asked.took_s < WAITS_S + 0.5
    waiting = world.ask("decrement", 4, "us-1")
    world.settle(1)
    assert repr(waiting) == "unanswered"
    world.is_cut = False
    world.settle(1)
    assert repr(waiting) == "ok"
    assert repr(world.do("decrement", 6, "us-1")) == "ok"


def test_rights_that_were_given_across_a_cut_are_there_when_it_has_healed(world: World) -> None:
    asked = world.ask("decrement", 4, "us-1")
    world.deliver_bus(0)
    world.is_cut = True
    world.settle(WAITS_S + 0.5)
    assert repr(asked) == "insufficient_rights [4, 0, 10]"
    assert world.rights("eu-1") == {"eu-1": 5, "us-1": 5}
    assert repr(world.do("decrement", 6, "eu-1")) == "insufficient_rights [6, 5, 10]"
    world.is_cut = False
    world.settle(1)
    assert repr(world.do("decrement", 5, "us-1")) == "ok"


def test_one_data_center_goes_on_with_its_rights_while_it_is_cut_off(world: World) -> None:
    world.do("decrement", 2, "us-1")
    world.is_cut = True
    assert repr(world.do("decrement", 3, "us-2")) == "ok"
    assert repr(world.do("decrement", 5, "eu-3")) == "ok"


# What a node refuses.


def test_an_incarnation_that_is_no_more_is_not_asked() -> None:
    node = OneNode()
    lost = actor_name("eu-2", 0xDEAD)
    assert give(node, 10, lost)
    sent = decrement(node, 4)
    assert not to(sent, RightsRequest)
    assert to(sent, ReadReplica), "it reads a quorum before it refuses"


def test_a_node_that_is_down_is_not_asked_and_one_of_an_unknown_data_center_everywhere() -> None:
    node = OneNode()
    give(node, 10, actor_name("us-7", 1))
    assert not to(decrement(node, 4), RightsRequest)


@pytest.mark.parametrize("is_learner", [True, False])
def test_a_node_that_may_have_forgotten_gives_nothing(is_learner: bool) -> None:
    node = OneNode()
    give(node, 10, node.core.parts.replica.actor)
    topology = node.core.topology
    mine = topology.node(ME)
    assert mine is not None
    changed = replace(mine, is_learner=True) if is_learner else replace(mine, incarnation="00000000000000aa")
    node.step(TopologyChanged(topology.with_node(changed)))
    request = RightsRequest(7, STOCK, 4, actor_name("eu-2", 0))
    sent = node.step(Received("eu-2", node.core.parts.kernel.cluster.epoch, [request]))
    node.step(BusMessage(encode_frame(0, [RightsWanted(STOCK, 4, actor_name("us-1", 0))])))
    assert node.counters.get("rights_given", 0) == 0
    if not is_learner:
        assert sent["eu-2"] == [Refusal(7, "quarantined", [])]


def test_a_request_under_another_epoch_is_refused() -> None:
    node = OneNode()
    give(node, 10, node.core.parts.replica.actor)
    sent = node.step(Received("eu-2", 99, [RightsRequest(7, STOCK, 4, actor_name("eu-2", 0))]))
    assert to(sent, Refusal)["eu-2"].code == "wrong_epoch"
    assert node.counters.get("rights_given", 0) == 0


def test_on_a_full_disk_nothing_is_given_and_nobody_stumbles() -> None:
    node = OneNode()
    give(node, 10, node.core.parts.replica.actor)
    node.step(DiskSpace(is_sufficient=False))
    sent = node.from_node("eu-2", RightsRequest(7, STOCK, 4, actor_name("eu-2", 0)))
    assert to(sent, Refusal)["eu-2"].code == "insufficient_storage"
    node.step(BusMessage(encode_frame(0, [RightsWanted(STOCK, 4, actor_name("us-1", 0))])))
    assert node.counters.get("rights_given", 0) == 0
    assert node.counters.get("junk_messages", 0) == 0


@pytest.mark.parametrize(
    ("identity", "receiver"),
    [
        (identity_of("default", "counter", "stock"), actor_name("us-1", 0)),
        (b"no identity", actor_name("us-1", 0)),
        (STOCK, "us-1"),
        (STOCK, actor_name(ME, 0)),
    ],
)
def test_nonsense_is_counted_and_gives_nothing(identity: bytes, receiver: str) -> None:
    node = OneNode()
    give(node, 10, node.core.parts.replica.actor)
    node.from_node("eu-2", RightsRequest(7, identity, 4, receiver))
    node.step(BusMessage(encode_frame(0, [RightsWanted(identity, 4, receiver)])))
    assert node.counters["junk_messages"] == 2
    assert node.counters.get("rights_given", 0) == 0


def test_a_node_that_has_none_says_so_with_what_it_stores() -> None:
    node = OneNode()
    request = RightsRequest(7, STOCK, 4, actor_name("eu-2", 0))
    assert to(node.from_node("eu-2", request), ReplicaEntry)["eu-2"] == ReplicaEntry(7, None)
    entry = give(node, 10, actor_name("eu-3", 0))
    node.sync()
    assert to(node.from_node("eu-2", request), ReplicaEntry)["eu-2"] == ReplicaEntry(7, entry)


def give(node: OneNode, amount: int, actor: str) -> bytes:
    """Let a node store a counter whose rights all belong to one actor; return the entry."""
    if actor == node.core.parts.replica.actor:
        node.ask(MutateRequest(1, STOCK, "increment", [amount], None, 0, "ONE", 4000))
    else:
        other = World()
        other.do("increment", amount, "eu-1")
        stored = other.stored("eu-1")
        assert stored is not None
        wire = stored.to_bytes().replace(owner_of("eu-1").encode(), actor.encode())
        node.from_node("eu-2", WriteReplica(1, STOCK, wire, 0))
    node.sync()
    entry, _ = node.core.parts.replica.read(node.core.parts.keys.from_peer(STOCK).storage_key)
    assert entry is not None
    return entry


def decrement(node: OneNode, amount: int) -> dict[Any, list[Message]]:
    return node.ask(MutateRequest(2, STOCK, "decrement", [amount], None, 0, "ONE", 4000))
