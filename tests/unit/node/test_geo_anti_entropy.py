"""Data centers find what they hold differently, and repair it on both sides, whatever the streams have done."""

from types import SimpleNamespace
from typing import Any

import pytest
from two_datacenters import NAMES, World

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import from_wall_ms
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.ids import actor_name, identity_of
from crdtkv.node.geo.anti_entropy import GeoAntiEntropy
from crdtkv.node.geo.lost_outboxes import LostOutboxes
from crdtkv.node.kernel.events import BusDown, BusMessage, BusUp
from crdtkv.node.repair.tree_comparison import Item
from crdtkv.node.replica.comparison_marks import EXCHANGE, GIVE
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.storage.patching import PatchingStore
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import BusSender, EntriesTaken, GiveEntries, LeafRequest, RootsReply, RootsRequest

pytestmark = pytest.mark.interpreted  # methods are replaced

EU, US = NAMES[:3], NAMES[3:]
SOON = {"compare_interval_s": 1}
OFTEN = {"interval_s": 1}


def key(number: int) -> bytes:
    return identity_of("default", "register", f"k{number}")


def plant(world: World, name: str, number: int, value: bytes = b"v", counter: int = 1) -> None:
    """Store an entry at one node alone, as if neither stream nor link had carried it; its dot is of an actor long gone.

    Another actor for each node, so that planted entries of one key are concurrent.
    """
    core = world.cores[name]
    placed = core.parts.keys.from_peer(key(number))
    event = Event(Dot(actor_name(f"old-{name}", 9), counter), from_wall_ms(1_600_000_000_000 + number))
    entry = Entry.empty("register").delta("put", [cbor.encode_value(value)], event, None, None, 0)
    core.parts.replica.merge(placed, entry)


def held(world: World, name: str) -> dict[bytes, bytes]:
    """Return what a node stores."""
    store = PatchingStore(world.stores[name], 1024)
    return {rows.storage_key_in(row): value for row, value in store.scan(*rows.DATA_RANGE, 10_000)}


def are_equal(world: World) -> bool:
    return all(held(world, name) == held(world, NAMES[0]) for name in NAMES)


def pair(world: World, name: str) -> Any:
    return next(iter(world.cores[name].parts.geo_anti_entropy._pairs.values()))


def mark(world: World, name: str, kind: bytes) -> None:
    marks = world.cores[name].parts.marks
    marks.set(marks.peers[0], kind)


def marked(world: World, name: str) -> bytes | None:
    marks = world.cores[name].parts.marks
    return marks.kind(marks.peers[0])


def test_differences_are_found_without_a_mark_and_repaired_on_both_sides() -> None:
    world = World(geo=SOON)
    plant(world, "eu-1", 1)
    plant(world, "us-3", 2)
    for name in ("eu-2", "us-1"):
        plant(world, name, 3)
    world.settle(30)
    assert are_equal(world)
    assert len(held(world, "eu-3")) == 3
    siblings = Entry.from_bytes(held(world, "eu-3")[storage_key_of(key(3))]).state
    assert len(siblings.versions) == 2  # type: ignore[attr-defined]


def test_nothing_travels_but_roots_between_equal_data_centers() -> None:
    world = World(geo=SOON)
    for number in range(20):
        for name in NAMES:
            plant_everywhere(world, name, number)
    world.settle(5)
    assert are_equal(world)
    seen: list[type] = []
    received = GeoAntiEntropy.received

    def watched(self: GeoAntiEntropy, sender: str, message: Any) -> None:
        seen.append(type(message))
        received(self, sender, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeoAntiEntropy, "received", watched)
        world.settle(20)
    assert set(seen) == {RootsRequest, RootsReply}
    assert world.counted("geo_repaired") == 0


def plant_everywhere(world: World, name: str, number: int, value: bytes = b"v") -> None:
    core = world.cores[name]
    placed = core.parts.keys.from_peer(key(number))
    event = Event(Dot(actor_name("old", 9), 1), from_wall_ms(1_600_000_000_000 + number))
    core.parts.replica.merge(
        placed, Entry.empty("register").delta("put", [cbor.encode_value(value)], event, None, None, 0)
    )


@pytest.mark.parametrize("kind", [GIVE, EXCHANGE])
def test_a_session_compares_everything_at_once_and_clears_the_mark(kind: bytes) -> None:
    world = World(repair=OFTEN)  # no exchange without a mark for an hour
    world.happenings_max = 20_000
    for number in range(300):
        plant(world, "eu-1", number)
        plant(world, "us-1", number + 200)
    mark(world, "eu-1", kind)
    world.settle(10)
    assert marked(world, "eu-1") is None
    assert are_equal(world)
    assert len(held(world, "us-2")) == 500


def test_a_session_does_not_end_before_the_partitions_that_did_not_fit_into_an_exchange() -> None:
    sections: dict[str, Any] = {"partitions": 64}
    world = World(repair=OFTEN, **sections)
    world.happenings_max = 20_000
    for number in range(400):
        plant(world, "eu-1", number)
    mark(world, "eu-1", GIVE)
    world.settle(0.5)
    assert pair(world, "eu-1").snapshot["left"]  # 32 trees fit
    world.settle(10)
    assert marked(world, "eu-1") is None
    assert len(held(world, "us-1")) == 400


def test_a_leaf_of_several_pages_counts_as_compared_while_its_keys_are_written() -> None:
    world = World(limits={"entry_kib": 512}, repair=OFTEN)
    for number in range(4):
        for name in NAMES:
            plant_everywhere(world, name, number, bytes(300_000))
    for number in range(30):
        for name in NAMES:
            plant_everywhere(world, name, 100 + number)
    world.settle(2)
    comparison = world.cores["eu-1"].parts.geo_anti_entropy._comparison
    pages, after = 0, b""
    while True:
        digests, end, _ = comparison.digests(0, range(256), after)
        request = LeafRequest(1, 0, 0, 255, after, end, list(digests))
        reply = world.cores["us-2"].parts.geo_anti_entropy._comparison.leaf_reply(request, 1 << 30)
        assert (reply.entries, reply.wanted, reply.is_whole) == ([], [], True)
        pages += 1
        if end is None:
            break
        after = end
    assert pages > 1


def test_an_exchange_reads_a_bounded_number_of_bytes() -> None:
    world = World(limits={"entry_kib": 512})
    for number in range(40):
        plant(world, "eu-1", number, bytes(300_000))
    mark(world, "eu-1", GIVE)
    reads: list[int] = []
    comparison = world.cores["eu-1"].parts.geo_anti_entropy._comparison
    digests = comparison.digests
    world.cores["eu-1"].parts.geo_anti_entropy._comparison = SimpleNamespace(  # type: ignore[assignment]
        digests=lambda *where: counted(digests(*where), reads),
        forest=comparison.forest,
        wished=comparison.wished,
        is_durable=True,
    )
    world.step("eu-1")
    world.sync("eu-1")
    world.flow()
    assert 4 * 1024 * 1024 <= sum(reads) <= 6 * 1024 * 1024


def counted(result: Any, reads: list[int]) -> Any:
    reads.append(result[2])
    return result


def test_partitions_that_did_not_fit_come_first_in_the_next_exchange() -> None:
    sections: dict[str, Any] = {"partitions": 64}
    world = World(geo=SOON, **sections)
    world.happenings_max = 20_000
    for number in range(600):
        plant(world, "eu-1", number)
    world.settle(60)
    assert len(held(world, "us-1")) == 600  # without a mark, 8 trees at a time
    assert pair(world, "eu-1").snapshot["compared_s"] < 60


def test_a_mark_to_give_is_cleared_by_a_majority_and_one_to_exchange_by_all() -> None:
    world = World()
    world.crash("us-2")
    plant(world, "eu-1", 1)
    mark(world, "eu-1", GIVE)
    mark(world, "eu-2", EXCHANGE)
    world.settle(60)
    assert marked(world, "eu-1") is None
    assert marked(world, "eu-2") == EXCHANGE
    assert pair(world, "eu-2").snapshot["left"] == {"us-2": 1}
    assert world.cores["eu-2"].parts.geo_anti_entropy.unfilled == ["us"]
    world.start("us-2")
    world.settle(60)
    assert marked(world, "eu-2") is None


def test_one_replica_of_the_other_data_center_is_not_enough() -> None:
    world = World()
    for name in ("us-2", "us-3"):
        world.crash(name)
    for name in ("eu-1", "us-1"):
        plant_everywhere(world, name, 1)
    mark(world, "eu-1", GIVE)
    world.settle(30)
    assert marked(world, "eu-1") == GIVE  # us-1 holds all of it, but no majority
    world.start("us-2")
    world.settle(30)
    assert marked(world, "eu-1") is None
    assert held(world, "us-2") == held(world, "eu-1")


def test_the_loss_of_an_outbox_marks_all_other_data_centers() -> None:
    world = World()
    core = world.cores["eu-1"]
    lost = LostOutboxes(core.parts.kernel, core.parts.replica._store, core.parts.marks)
    lost.incarnation_seen("eu-2", 1)
    lost.incarnation_seen("eu-2", 1)
    assert marked(world, "eu-1") is None
    lost.incarnation_seen("eu-2", 2)
    assert marked(world, "eu-1") == GIVE


def test_a_node_that_learned_from_learners_is_marked_for_an_exchange() -> None:
    world = World()
    enrollment = world.cores["eu-1"].parts.enrollment
    enrollment._learning_from = world.cores["eu-1"].parts.anti_entropy.peers
    enrollment._learned_from_learners = True
    enrollment._learn()
    assert marked(world, "eu-1") == EXCHANGE
    assert not enrollment.may_lack_data


def test_a_mark_outlives_a_cut_and_a_restart() -> None:
    world = World()
    plant(world, "eu-1", 1)
    mark(world, "eu-1", GIVE)
    world.is_cut = True
    world.settle(30)
    assert marked(world, "eu-1") == GIVE
    world.crash("eu-1")
    world.start("eu-1")
    assert marked(world, "eu-1") == GIVE
    world.is_cut = False
    world.settle(30)
    assert marked(world, "eu-1") is None
    assert held(world, "us-1").keys() == {storage_key_of(key(1))}


def test_a_session_is_repeated_if_the_mark_was_set_again_meanwhile() -> None:
    world = World(repair=OFTEN)
    mark(world, "eu-1", GIVE)
    world.step("eu-1")
    assert pair(world, "eu-1").is_exchanging
    mark(world, "eu-1", GIVE)  # entries written since the roots were sent may have been dropped
    plant(world, "eu-1", 1)
    world.settle(10)
    assert marked(world, "eu-1") is None
    assert are_equal(world)
    assert world.cores["eu-1"].stats.counters["geo_sessions"] == 2


def test_nothing_begins_while_the_own_nats_is_down() -> None:
    world = World(geo=SOON)
    world.settle(10)
    world.step("eu-1", BusDown())
    before = world.cores["eu-1"].stats.counters["geo_exchanges"]
    mark(world, "eu-1", GIVE)
    world.settle(20)
    assert world.cores["eu-1"].stats.counters["geo_exchanges"] == before
    world.step("eu-1", BusUp())
    world.settle(10)
    assert marked(world, "eu-1") is None


def test_a_node_that_does_not_count_neither_begins_nor_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(geo=SOON)
    world.settle(3)
    monkeypatch.setattr(GeoAntiEntropy, "counts", property(lambda self: self._cluster.node != "us-1"))
    plant(world, "eu-1", 1)
    mark(world, "eu-1", EXCHANGE)
    began = world.cores["us-1"].stats.counters["geo_exchanges"]
    world.settle(40)
    assert marked(world, "eu-1") == EXCHANGE
    assert pair(world, "eu-1").snapshot["left"] == {"us-1": 1}
    assert world.cores["us-1"].stats.counters["geo_exchanges"] - began <= 1


def test_entries_are_acknowledged_when_a_majority_has_them_durably() -> None:
    world = World()
    plant(world, "eu-1", 1)
    (entry,) = held(world, "eu-1").values()
    given = GiveEntries(5, 0, [[storage_key_of(key(1)), entry]])
    world.step("us-1", BusMessage(encode_frame(0, [BusSender("eu-1"), given])))
    assert not answers_in(world)
    world.sync("us-1")  # its own disk is not enough
    assert not answers_in(world)
    world.deliver("us-1", "us-2")
    assert not answers_in(world)
    world.sync("us-2")
    world.deliver("us-2", "us-1")
    world.settle(0.5)
    assert held(world, "us-3") == held(world, "us-1")


def answers_in(world: World) -> list[EntriesTaken]:
    messages = [message for _, payload in world.bus for message in decode_frame(payload).messages]
    return [message for message in messages if isinstance(message, EntriesTaken)]


def test_a_full_disk_takes_nothing_and_the_session_goes_on_when_there_is_room() -> None:
    world = World(repair=OFTEN)
    plant(world, "eu-1", 1)
    for name in US:
        world.cores[name].parts.replica.has_disk_space = False
    mark(world, "eu-1", GIVE)
    world.settle(20)
    assert marked(world, "eu-1") == GIVE
    for name in US:
        world.cores[name].parts.replica.has_disk_space = True
    world.settle(20)
    assert marked(world, "eu-1") is None
    assert are_equal(world)


def test_large_entries_travel_as_differences_where_their_basis_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(geo=SOON, limits={"whole_entry_bytes": 64}, repair=OFTEN)
    tags = identity_of("default", "set", "tags")

    def add(name: str, *elements: str) -> None:
        """Add elements at one node alone."""
        core = world.cores[name]
        placed = core.parts.keys.from_peer(tags)
        for element in elements:
            core.parts.replica.mutate(placed, "add", [cbor.encode_value(element)], None, 0, 0)
        monkeypatch.setattr(core.parts.outbox, "next_batch", lambda *_: [])

    items: list[Item] = []
    take = GeoAntiEntropy.take

    def watched(self: GeoAntiEntropy, partition: int, wires: list[object], then: Any) -> None:
        items.extend(map(Item.from_wire, wires))
        take(self, partition, wires, then)

    monkeypatch.setattr(GeoAntiEntropy, "take", watched)
    add("eu-1", *map(str, range(30)))
    add("us-2", *map(str, range(30, 58)))
    world.settle(60)
    assert items
    items.clear()
    add("eu-1", "58", "59")
    world.settle(60)
    assert any(item.basis is not None and len(item.entry) < 200 for item in items)
    entries = [PatchingStore(store, 64).get(rows.data_row(storage_key_of(tags))) for store in world.stores.values()]
    assert len(set(entries)) == 1
    assert entries[0] is not None
    assert len(Entry.from_bytes(entries[0]).state.members) == 60  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "messages",
    [
        [BusSender("mars-1"), RootsRequest(1, [0], bytes(16))],
        [BusSender("us-2"), RootsRequest(1, [0], bytes(16))],  # of the own data center
        [BusSender("eu-1"), RootsRequest(1, [0], bytes(15))],
        [BusSender("eu-1"), LeafRequest(1, 7, 0, 0, b"", None, [])],
        [BusSender("eu-1"), LeafRequest(1, 0, 3, 256, b"", None, [])],
        [BusSender("eu-1"), LeafRequest(1, 0, 3, 2, b"", None, [])],
        [BusSender("eu-1"), LeafRequest(1, 0, 0, 0, b"", None, [[b"k"]])],
        [BusSender("eu-1"), GiveEntries(1, 1, [[storage_key_of(key(1)), b"entry"]])],
        [BusSender("eu-1"), GiveEntries(1, 0, [[storage_key_of(key(1)), b"entry"]])],
        [BusSender("eu-1"), GiveEntries(1, 0, [[b"short", b"entry"]])],
        [BusSender("eu-1"), GiveEntries(1, 0, [b"entry"])],
        [RootsRequest(1, [0], bytes(16))],
    ],
)
def test_what_is_malformed_or_of_a_stranger_is_dropped(messages: list[Any]) -> None:
    world = World()
    world.step("us-1", BusMessage(encode_frame(0, messages)))
    assert world.cores["us-1"].stats.counters["junk_messages"] == 1
    assert world.bus == []
    assert held(world, "us-1") == {}


def test_answers_of_another_exchange_or_node_are_ignored() -> None:
    world = World()
    mark(world, "eu-1", GIVE)
    world.step("eu-1")
    number = pair(world, "eu-1")._call.number
    for sender, answer in (("us-1", RootsReply(number + 1, [], [], [])), ("us-3", RootsReply(number, [], [], []))):
        world.step("eu-1", BusMessage(encode_frame(0, [BusSender(sender), answer])))
    assert pair(world, "eu-1").is_exchanging
    world.settle(5)
    assert marked(world, "eu-1") is None


def test_the_age_of_the_last_complete_comparison_is_known() -> None:
    world = World(geo=SOON)
    assert pair(world, "eu-1").snapshot["compared_s"] is None
    world.settle(10)
    assert pair(world, "eu-1").snapshot["compared_s"] < 10
    world.is_cut = True
    world.settle(60)
    assert pair(world, "eu-1").snapshot["compared_s"] > 55


def test_a_store_without_partitions_has_nothing_to_compare() -> None:
    """A node that is no replica of any partition clears its marks."""
    world = World()
    world.cores["eu-1"].parts.anti_entropy._own = []
    mark(world, "eu-1", EXCHANGE)
    world.settle(2)
    assert marked(world, "eu-1") is None
