"""Requests at levels that count other data centers: what they wait for, and what they say when it does not come."""

from typing import Any

import pytest
from several_nodes import CLIENT
from two_datacenters import NAMES, World

from crdtkv import cbor
from crdtkv.crdt.entry import Entry
from crdtkv.ids import identity_of
from crdtkv.node.datacenters import remote_calls
from crdtkv.node.datacenters.remote_calls import ATTEMPT_S
from crdtkv.node.kernel.events import BusDown, BusMessage, BusUp, Received
from crdtkv.quorum.level import level_named
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import (
    BusSender,
    EntriesReply,
    ErrorReply,
    GeoEntry,
    GeoRead,
    GeoWrite,
    GeoWritten,
    GetRequest,
    Message,
    MutateReply,
    MutateRequest,
    ScanRequest,
    WaitRequest,
)

pytestmark = pytest.mark.interpreted  # constants are replaced

KEY = identity_of("default", "register", "user:1")
ADA = cbor.encode_value("Ada")
US = NAMES[3:]


def ask(world: World, at: str, request: Any) -> Any:
    """Send a request of a client; return what becomes of it."""
    number = len(world.outcomes) + 1
    outcome = world.expect(number)
    world.step(at, Received(CLIENT, 0, [request._replace(id=number)]))
    return outcome


def put(world: World, level: str, at: str = "eu-1", timeout_ms: int = 4000) -> Any:
    return ask(world, at, MutateRequest(0, KEY, "put", [ADA], None, 0, level, timeout_ms))


def get(world: World, level: str, at: str, timeout_ms: int = 4000) -> Any:
    return ask(world, at, GetRequest(0, [KEY], level, timeout_ms))


def holders(world: World, datacenter: str) -> int:
    """Return how many nodes of a data center have the key on disk, whatever else happens."""
    held = [
        store.get(rows.data_row(storage_key_of(KEY))) for name, store in world.stores.items() if name[:2] == datacenter
    ]
    return sum(value is not None for value in held)


def on_the_bus(world: World) -> list[Message]:
    return [decode_frame(payload).messages[1] for _, payload in world.bus]


def without_streams(world: World) -> World:
    """Let no message of a stream arrive: only the direct way is left."""
    world.streams = {"eu": [], "us": []}
    for core in world.cores.values():
        core.parts.geo.bus_changed(False)
    return world


@pytest.mark.parametrize("level", ["REMOTE_QUORUM", "EACH_QUORUM"])
def test_a_write_is_acknowledged_when_a_majority_of_each_data_center_has_it(level: str) -> None:
    world = without_streams(World())
    outcome = put(world, level)
    assert world.bus == []  # nothing leaves before it is durable here
    world.sync("eu-1")
    [message] = on_the_bus(world)
    assert isinstance(message, GeoWrite)
    for _ in range(20):
        for name in NAMES[:3]:
            world.sync(name)
        for pair in [pair for pair in world.links if pair[0][:2] == "eu" and world.links[pair]]:
            world.deliver(*pair)
    assert outcome.answer is None  # eu has it
    world.flow()
    assert isinstance(outcome.answer, MutateReply)
    assert outcome.answer.datacenters == ["eu", "us"]
    assert holders(world, "us") >= 2


def test_all_means_every_replica_of_every_data_center() -> None:
    world = without_streams(World())
    world.crash("us-3")
    outcome = put(world, "ALL")
    world.settle(3)
    assert outcome.answer is None
    world.settle(3)
    assert outcome.answer == ErrorReply(1, "write_timeout", [1, 2, ["us"]])
    world.start("us-3")
    world.settle(2)
    outcome = put(world, "ALL")
    world.settle(3)
    assert isinstance(outcome.answer, MutateReply)
    assert holders(world, "us") == holders(world, "eu") == 3


def test_a_node_that_does_not_answer_is_replaced_by_the_next() -> None:
    world = without_streams(World())
    for name in US[:2]:
        world.crash(name)
    world.start("us-1")  # a majority is there, but one of the nodes that may be asked is not
    world.settle(2)
    for _ in range(3):
        outcome = put(world, "EACH_QUORUM")
        world.settle(2 * ATTEMPT_S + 1)
        assert isinstance(outcome.answer, MutateReply)


def test_a_data_center_that_cannot_be_reached_is_named_and_the_write_arrives_later() -> None:
    world = World(geo={"compare_interval_s": 2})
    world.is_cut = True
    outcome = put(world, "EACH_QUORUM")
    world.settle(6)
    assert outcome.answer == ErrorReply(1, "write_timeout", [1, 2, ["us"]])
    assert outcome.took_s >= 4
    outcome = get(world, "EACH_QUORUM", "eu-2")
    world.settle(6)
    assert outcome.answer == ErrorReply(2, "read_timeout", [0, 1, ["us"]])
    world.is_cut = False
    world.settle(20)
    assert holders(world, "us") == 3


@pytest.mark.parametrize("level", ["REMOTE_QUORUM", "EACH_QUORUM", "ALL"])
def test_nothing_is_written_while_the_own_nats_is_down(level: str) -> None:
    world = World()
    world.step("eu-1", BusDown())
    outcome = put(world, level)
    world.flow()
    assert outcome.answer == ErrorReply(1, "unavailable", [2, 1, ["us"]])
    assert holders(world, "eu") == 0
    outcome = get(world, level, "eu-1")
    world.flow()
    assert outcome.answer == ErrorReply(2, "unavailable", [2, 1, ["us"]])
    world.step("eu-1", BusUp())
    outcome = put(world, "LOCAL_QUORUM")
    world.flow()
    assert isinstance(outcome.answer, MutateReply)


def test_a_read_sees_what_a_quorum_elsewhere_has_and_repairs_here() -> None:
    world = without_streams(World())
    put(world, "LOCAL_QUORUM", at="us-2")
    world.settle(1)
    assert (holders(world, "us"), holders(world, "eu")) == (3, 0)
    outcome = get(world, "EACH_QUORUM", "eu-1")
    world.settle(1)
    assert isinstance(outcome.answer, EntriesReply)
    [encoded] = outcome.answer.entries
    assert isinstance(encoded, bytes)
    assert [version.value for version in Entry.from_bytes(encoded).state.versions] == [ADA]  # type: ignore[attr-defined]
    assert holders(world, "eu") >= 2


def test_a_key_that_was_never_written_is_read_as_such() -> None:
    world = World()
    outcome = get(world, "ALL", "eu-1")
    world.settle(1)
    assert outcome.answer == EntriesReply(1, [None])


def test_a_wait_confirms_an_earlier_write_and_makes_no_new_one() -> None:
    world = without_streams(World())
    written = put(world, "LOCAL_QUORUM")
    world.settle(1)
    assert holders(world, "us") == 0
    before = held_bytes(world, "eu-1")
    dot = (written.answer.actor, written.answer.counter)
    outcome = ask(world, "eu-2", WaitRequest(0, KEY, *dot, ["us", "eu"], 4000))
    world.settle(1)
    assert outcome.answer == MutateReply(2, 0, *dot, None, ["eu", "us"])
    assert holders(world, "us") >= 2
    assert held_bytes(world, "eu-1") == before


def held_bytes(world: World, name: str) -> bytes | None:
    return world.stores[name].get(rows.data_row(storage_key_of(KEY)))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (WaitRequest(0, KEY, "eu-1.0000000000000001", 7, ["us"], 4000), "stale_replica"),
        (WaitRequest(0, KEY, "eu-1.0000000000000001", 1, ["mars"], 4000), "invalid_request"),
        (WaitRequest(0, KEY, "eu-1.0000000000000001", 1, [7], 4000), "invalid_request"),
        (WaitRequest(0, b"junk", "eu-1.0000000000000001", 1, ["us"], 4000), "invalid_request"),
        (ScanRequest(0, 0, b"default\0register\0", b"", 10, "EACH_QUORUM", 4000), "invalid_request"),
    ],
)
def test_a_wrong_request_is_refused(request_: Any, code: str) -> None:
    world = World()
    put(world, "LOCAL_QUORUM")
    world.settle(1)
    outcome = ask(world, "eu-1", request_)
    world.settle(1)
    assert isinstance(outcome.answer, ErrorReply)
    assert outcome.answer.code == code


def test_pauses_between_attempts_double() -> None:
    world = World()
    world.is_cut = True
    put(world, "EACH_QUORUM", timeout_ms=20_000)
    sent = 0
    for _ in range(22 * 4):
        world.wait(0.25)
        for name in NAMES[:3]:
            world.sync(name)
        sent += sum(isinstance(message, GeoWrite) for message in on_the_bus(world))
        world.bus.clear()
    assert sent == 5  # after 0, 1, 3, 7 and 15 s


def test_what_waits_for_other_data_centers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_calls, "BYTES_IN_FLIGHT", 1_000)
    world = World()
    world.is_cut = True
    outcomes = [put(world, "EACH_QUORUM") for _ in range(30)]
    for _ in range(10):
        world.wait(0.1)
    codes = {outcome.answer.code for outcome in outcomes if outcome.answer is not None}
    assert codes == {"overloaded"}
    assert any(outcome.answer is None for outcome in outcomes)
    world.settle(6)
    world.is_cut = False
    outcome = put(world, "EACH_QUORUM")
    world.settle(2)
    assert isinstance(outcome.answer, MutateReply)


def test_an_error_does_not_claim_the_own_data_center_if_that_has_not_confirmed() -> None:
    world = World()
    world.is_cut = True
    world.loses = lambda sender, receiver, message: True
    outcome = put(world, "EACH_QUORUM")
    world.settle(6)
    # Both halves end at one time: 1 of 2 replicas, or no data center.
    assert outcome.answer.fields in ([1, 2], [0, 2, ["eu", "us"]])


def test_a_cluster_of_one_data_center_takes_the_levels_as_local_ones() -> None:
    for name in ("REMOTE_QUORUM", "EACH_QUORUM", "ALL"):
        assert level_named(name).remote_quorum(0) == 0
    assert level_named("REMOTE_QUORUM").remote_quorum(3) == 1
    assert level_named("EACH_QUORUM").remote_quorum(3) == 3
    assert level_named("LOCAL_ALL").remote_quorum(3) == 0


def test_a_node_that_does_not_count_refuses_and_strangers_are_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    entry = cbor.encode([1, "register", ["eu-1.0000000000000001", 1, 5, ADA], ["eu-1.0000000000000001", 1], [], None])
    requests = [GeoWrite(3, KEY, entry, False, 1000), GeoRead(4, KEY, False, 1000)]
    for request in requests:
        world.step("us-1", BusMessage(encode_frame(0, [BusSender("mars-1"), request])))
    assert world.bus == []
    assert world.cores["us-1"].stats.counters["junk_messages"] == 2
    monkeypatch.setattr(world.cores["us-1"].parts.kernel.cluster, "_is_quarantined", True)
    world.step("us-1", *(BusMessage(encode_frame(0, [BusSender("eu-1"), request])) for request in requests))
    world.sync("us-1")
    assert on_the_bus(world) == [GeoWritten(3, False), GeoEntry(4, None, False)]
