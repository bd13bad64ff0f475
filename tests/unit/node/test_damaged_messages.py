"""No message in which one place was changed stops a node, whoever sends it: a client, a node, another data center.

The nodes of a data center carry out operations of all types. Before each message that arrives, copies of it arrive in
which one item was changed, dropped, doubled or swapped, in the message itself or in an entry or document within it.
Entries that come from a node of the same data center are left as they are: a node trusts them as it trusts its disk.
"""

import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from damaged import damaged
from several_nodes import CLIENT, GRACE_S, WALL_MS, Cluster, config

from crdtkv import cbor
from crdtkv.config.model import GossipConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, ProtocolError
from crdtkv.ids import actor_name, identity_of, identity_prefix
from crdtkv.node.datacenters.remote_calls import RemoteCall
from crdtkv.node.kernel.events import BusMessage, BusUp, Durable, Event, Received, StreamMessage
from crdtkv.ring.partition_set import to_bits
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import (
    NUMBERS,
    ApplyEntries,
    BusSender,
    Confirm,
    DropTombstones,
    EntriesTaken,
    GeoBatch,
    GeoEntry,
    GeoRead,
    GeoWrite,
    GeoWritten,
    GetRequest,
    GiveEntries,
    HandOff,
    InspectRequest,
    KeepHint,
    LeafReply,
    LeafRequest,
    Message,
    MutateRequest,
    RepairRequest,
    ReplicaSuperseded,
    RightsRequest,
    RightsWanted,
    RootsReply,
    RootsRequest,
    ScanRequest,
    StatusRequest,
    TombstonesDropped,
    TombstonesReply,
    TombstonesRequest,
    TopologyNews,
    TopologyRequest,
    WaitRequest,
    WatchRequest,
)

COPIES = 6
#: The messages that on the bus come with the name of their sender.
EXCHANGE = (
    RootsRequest, RootsReply, LeafRequest, LeafReply, GiveEntries, EntriesTaken,
    GeoWrite, GeoWritten, GeoRead, GeoEntry,
)  # fmt: skip
US = actor_name("us-1", 1)
ADA, BOB = cbor.encode_value("ada"), cbor.encode_value("bob")
OPERATIONS: dict[str, list[tuple[str, list[object]]]] = {
    "register": [("put", [ADA]), ("delete", [])],
    "lww": [("put", [ADA]), ("delete", [])],
    "counter": [("increment", [3]), ("delete", [])],
    "bcounter": [("increment", [5]), ("decrement", [2]), ("transfer", [1, "us-1"])],
    "set": [("add", [ADA, BOB]), ("remove", [ADA])],
    "rwset": [("add", [ADA]), ("remove", [ADA])],
    "gset": [("add", [BOB])],
    "flag": [("enable", []), ("disable", [])],
    "dwflag": [("enable", []), ("disable", [])],
    "maxreg": [("set", [4.5])],
    "minreg": [("set", [4])],
    "hll": [("add", [ADA])],
    "board": [("set", [ADA, 3]), ("increment", [ADA, 1.5]), ("remove", [ADA])],
    "map": [("update", [["counter", b"n"], "increment", 1]), ("update", [["map", b"m", "set", b"s"], "add", ADA])],
}


class Damaging(Cluster):
    """A data center whose links bring damaged copies before each message."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.arrived: set[type] = set()
        settings: dict[str, dict[str, Any]] = {
            "repair": {"interval_s": 1, "read_share": 0.5},
            "geo": {"compare_interval_s": 0.5},
            "limits": {"whole_entry_bytes": 64},
        }
        model = config(4, ("eu", "us"), **settings)
        super().__init__(model.model_copy(update={"gossip": GossipConfig(interval_s=1)}))
        self.loses = self._damage_first
        for name in self.names:
            self.handle(name, BusUp())

    def ask(self, at: str, request: Message) -> None:
        """Bring a client's request."""
        self._copies_to(at, request, lambda copy: Received(CLIENT, 0, [copy]))
        self.handle(at, Received(CLIENT, 0, [request]))

    def ask_node(self, at: str, message: Message) -> None:
        """Bring a message of another node."""
        sender = next(name for name in self.cores if name != at)
        self._damage_first(sender, at, message)
        self.handle(at, Received(sender, self.cores[sender].topology.epoch, [message]))

    def tell(self, at: str, message: Message, is_on_stream: bool) -> None:
        """Bring a message of another data center."""
        number = self.random.randrange(1 << 40)
        call = self.cores[at].parts.geo_anti_entropy._pairs["us"]._call
        if call is not None and isinstance(message, RootsReply | LeafReply | EntriesTaken):
            message = message._replace(id=call.number)
        waiting = [
            number for number, call in self.cores[at].parts.kernel.calls._calls.items() if isinstance(call, RemoteCall)
        ]
        if waiting and isinstance(message, GeoWritten | GeoEntry):
            message = message._replace(id=waiting[0])

        def event(one: Message) -> Event:
            sender = "us-1" if call is None else call._findings.peer
            payload = encode_frame(0, [BusSender(sender), one] if isinstance(message, EXCHANGE) else [one])
            return StreamMessage("us", number, payload) if is_on_stream else BusMessage(payload)

        self._copies_to(at, message, event)
        self.handle(at, event(message))

    def _damage_first(self, sender: str, receiver: str, message: Message) -> bool:
        epoch = self.cores[sender].topology.epoch
        if receiver in self.cores:
            self._copies_to(receiver, message, lambda copy: Received(sender, epoch, [copy]), is_trusted=True)
        return False

    def _copies_to(self, at: str, message: Message, event: Any, is_trusted: bool = False) -> None:
        self.arrived.add(type(message))
        for copy in copies_of(message, self.random):
            if is_trusted and Counter(entries_in(list(copy))) != Counter(entries_in(list(message))):
                continue
            effects = self.cores[at].handle([event(copy)], self._now(at))
            self.stores[at].sync()
            self.cores[at].handle([Durable(effects.after_commit)], self._now(at))


def copies_of(message: Message, random: Random) -> Iterator[Message]:
    """Yield some damaged copies that a frame can bring."""
    fields: list[object] = list(message)
    for _ in range(COPIES):
        wire = [NUMBERS[type(message)], *one_place_changed(fields, random)]
        try:
            yield from decode_frame(cbor.encode([1, 1, [wire]])).messages
        except ProtocolError:
            continue


def one_place_changed(fields: list[object], random: Random) -> list[object]:
    """Return the fields with one place changed, perhaps within what is encoded in them."""
    place = random.randrange(len(fields)) if fields else 0
    item = fields[place] if fields else None
    if isinstance(item, list) and item and random.random() < 0.5:
        return [*fields[:place], one_place_changed(item, random), *fields[place + 1 :]]
    if isinstance(item, bytes) and random.random() < 0.8:
        return [*fields[:place], encoded_anew(item, random), *fields[place + 1 :]]
    return list(random.choice([copy for copy in damaged(fields) if isinstance(copy, list)]))


def encoded_anew(data: bytes, random: Random) -> bytes:
    """Return an encoded entry or document with one place changed; other bytes cut, or longer."""
    try:
        wire = cbor.decode(data)
        return cbor.encode(random.choice(list(damaged(wire)))) if isinstance(wire, list) else data[:-1]
    except CrdtkvError:
        pass
    try:
        document = json.loads(data)
        place: Any = document if random.random() < 0.5 else random.choice(document["nodes"])
        place[random.choice(list(place))] = random.choice([None, True, 0, -1, 2**70, 1.5, "", "\ud800", [], {}])
        return json.dumps(document).encode()
    except (ValueError, TypeError, KeyError):
        return random.choice([data[:-1], data + b"\0", b"", data[: len(data) // 2]])


def entries_in(item: object) -> Iterator[bytes]:
    """Yield the encoded entries in the fields of a message."""
    if isinstance(item, list):
        for inner in item:
            yield from entries_in(inner)
    elif isinstance(item, bytes):
        try:
            Entry.from_bytes(item)
        except ProtocolError:
            return
        yield item


def requests(random: Random, number: int) -> list[Message]:
    """Return requests of a client about one key."""
    type_tag = random.choice(list(OPERATIONS))
    key = identity_of("default", type_tag, f"k{random.randrange(3)}")
    operation, arguments = random.choice(OPERATIONS[type_tag])
    level = random.choice(["ONE", "LOCAL_QUORUM", "LOCAL_ALL", "ANY", "SLOPPY_QUORUM", "2,1", "EACH_QUORUM"])
    first = MutateRequest(
        number, key, operation, arguments, None, 0, level, 1000, None, random.randbytes(16), None, 10**12
    )
    retry = first._replace(id=number + 1, tried=["eu-2"], context=[["eu-1.0000000000000001", 1], []])
    return [
        first,
        retry,
        GetRequest(number + 2, [key, key], level, 1000),
        ScanRequest(number + 4, 0, identity_prefix("default", type_tag), b"", 10, level, 1000),
        InspectRequest(number + 5, key),
        WatchRequest(number + 6, [b"default\0"], to_bits(1, 1), b"", 10, 100),
        RepairRequest(number + 7, None),
        TopologyRequest(number + 8),
        StatusRequest(number + 9),
        WaitRequest(number + 10, key, "eu-1.0000000000000001", 1, ["us"], 1000),
        RepairRequest(number + 11, None, "us"),
    ]


def of_another_datacenter(random: Random, number: int) -> list[tuple[Message, bool]]:
    """Return messages of another data center, and whether they come with its stream."""
    counter = identity_of("default", "counter", f"k{random.randrange(3)}")
    board = identity_of("default", "board", f"k{random.randrange(3)}")
    slot = [US, number, (WALL_MS << 16) + number, 0, 0]
    entries = [
        [1, counter, cbor.encode([1, "counter", [US, number, 5, 0, 0], [US, number], [], None])],
        [2, board, cbor.encode([1, "board", [ADA, [slot, []]], [US, number], [], [US, number, 1 << 60]])],
    ]
    return [
        (GeoBatch("us-1", US, entries), True),
        (Confirm("us", actor_name("eu-1", 1), [1, 2]), False),
        (RightsWanted(identity_of("default", "bcounter", "k1"), 1, "us-1"), False),
        (RootsRequest(number, [0, 1], bytes(32)), False),
        (LeafRequest(number + 1, 0, 0, 255, b"", None, [[storage_key_of(counter), bytes(16)]]), False),
        (GiveEntries(number + 2, 0, [[storage_key_of(row[1]), row[2]] for row in entries]), False),
        (RootsReply(number, [[0, bytes(4096)]], [], []), False),
        (LeafReply(number, 0, [[storage_key_of(counter), entries[0][2]]], [storage_key_of(board)], True), False),
        (EntriesTaken(number, 0, False), False),
        (GeoWrite(number + 3, entries[0][1], entries[0][2], number % 20 == 0, 500), False),
        (GeoRead(number + 4, counter, number % 20 == 0, 500), False),
        (GeoWritten(number, True), False),
        (GeoEntry(number, entries[0][2], True), False),
    ]


def of_another_node(cluster: Cluster, random: Random, number: int) -> list[Message]:
    """Return messages that nodes of a data center send each other seldom."""
    at = random.choice(list(cluster.cores))
    register = identity_of("default", "register", f"k{random.randrange(3)}")
    state = [US, number, (WALL_MS << 16) + number, ADA]
    entry = cbor.encode([1, "register", state, [US, number], [], None])
    key = storage_key_of(register)
    row: list[object] = [register, entry, random.choice([b"", bytes(16)]), (WALL_MS << 16) + number]
    tombstone: list[object] = [key, bytes(16), WALL_MS << 16]
    return [
        ApplyEntries(number, row * 2),
        KeepHint(number, random.choice(cluster.names), register, entry, True, random.randbytes(40)),
        HandOff(number, register, entry),
        ReplicaSuperseded(number, entry),
        RightsRequest(number, identity_of("default", "bcounter", "k1"), 1, US),
        TombstonesRequest(number, [tombstone] * 2),
        TombstonesReply(number, [key], [key]),
        DropTombstones(number, [tombstone] * 2),
        TombstonesDropped(number, [key]),
        TopologyNews(cluster.cores[at].topology.to_json()),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_no_damaged_message_stops_a_node(seed: int) -> None:
    cluster = Damaging(seed)
    random = cluster.random
    for number in range(10, 130, 10):
        if number == 40:
            cluster.stop(cluster.names[-1])
        if number == 80:
            cluster.start(cluster.names[-1])
        at = random.choice(list(cluster.cores))
        for request in requests(random, number):
            cluster.ask(at, request)
        for message, is_on_stream in of_another_datacenter(random, number):
            cluster.tell(random.choice(list(cluster.cores)), message, is_on_stream)
        for message in of_another_node(cluster, random, number):
            cluster.ask_node(at, message)
        cluster.run(0.5)
    cluster.run(2 * GRACE_S)
    assert len(cluster.arrived) > 35
