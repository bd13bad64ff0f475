"""The simulated world does what the real one was seen to do: streams, disks, buckets, links."""

from random import Random

import pytest

from crdtkv.config.loader import load
from crdtkv.errors import StorageError
from crdtkv.sim.plan.shape import Weather
from crdtkv.sim.world.bucket import TopologyBucket
from crdtkv.sim.world.disk import SimDisk
from crdtkv.sim.world.network import Network
from crdtkv.sim.world.scheduler import Scheduler
from crdtkv.sim.world.stream import ACK_WAIT_S, Stream
from crdtkv.storage.memory import Batch


class StreamOfUs:
    """A stream with one consumer, `eu`."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.ready: list[str] = []
        self.stream = Stream(self.scheduler, Random(1), ["eu"], self.ready.append)

    def publish(self, *payloads: bytes) -> None:
        for payload in payloads:
            assert self.stream.publish(payload)

    def fetch_all(self, ack: bool = True) -> list[bytes]:
        payloads = []
        while (message := self.stream.fetch("eu")) is not None:
            payloads.append(message[1])
            if ack:
                self.stream.ack("eu", message[0])
        return payloads


@pytest.fixture
def us() -> StreamOfUs:
    return StreamOfUs()


# Streams.


def test_a_stream_hands_out_messages_in_order_and_once_when_acknowledged(us: StreamOfUs) -> None:
    us.publish(b"1", b"2")
    assert us.fetch_all() == [b"1", b"2"]
    assert us.stream.consumers["eu"].is_idle
    us.scheduler.run_until(2 * ACK_WAIT_S)
    assert us.fetch_all() == []


def test_what_is_not_acknowledged_comes_again(us: StreamOfUs) -> None:
    us.publish(b"1")
    assert us.fetch_all(ack=False) == [b"1"]
    us.scheduler.run_until(ACK_WAIT_S)
    assert us.fetch_all() == [b"1"]


def test_a_stream_that_is_down_takes_and_gives_nothing(us: StreamOfUs) -> None:
    us.publish(b"1")
    us.stream.is_up = False
    assert not us.stream.publish(b"2")
    assert us.fetch_all() == []
    us.stream.is_up = True
    assert us.fetch_all() == [b"1"]


def test_a_publisher_may_get_no_acknowledgment_of_a_stored_message(us: StreamOfUs) -> None:
    us.stream.ack_loss = 1.0
    assert not us.stream.publish(b"1")
    assert us.fetch_all() == [b"1"]


def test_a_wiped_stream_counts_from_one_again(us: StreamOfUs) -> None:
    us.publish(b"1", b"2")
    us.stream.wipe()
    us.publish(b"3")
    assert us.stream.fetch("eu") == (1, b"3")


def test_a_late_acknowledgement_of_an_old_message_hits_the_new_one_of_its_number(us: StreamOfUs) -> None:
    us.publish(b"old")
    us.fetch_all(ack=False)
    us.stream.wipe()
    us.publish(b"new")
    us.fetch_all(ack=False)
    us.stream.ack("eu", 1)
    us.scheduler.run_until(2 * ACK_WAIT_S)
    assert us.fetch_all() == []


def test_a_stream_that_lost_its_end_goes_on_counting(us: StreamOfUs) -> None:
    us.publish(b"1", b"2")
    assert us.stream.lose_suffix(0.5, rewind=False) == 1
    us.publish(b"3")
    assert us.fetch_all() == [b"1", b"3"]


def test_a_consumer_behind_the_end_of_a_stream_that_was_set_back_skips_until_its_place(us: StreamOfUs) -> None:
    us.publish(b"1", b"2")
    us.fetch_all()
    assert us.stream.lose_suffix(0.5, rewind=True) == 1
    us.publish(b"skipped", b"seen")
    assert us.fetch_all() == [b"seen"]


def test_a_stream_may_lose_a_piece_of_its_middle(us: StreamOfUs) -> None:
    us.publish(*(b"%d" % number for number in range(10)))
    lost = us.stream.lose_middle(0.3)
    left = us.fetch_all()
    assert len(left) == 10 - lost
    assert left == sorted(left)


def test_a_consumer_made_again_begins_at_the_first_message(us: StreamOfUs) -> None:
    us.publish(b"1", b"2")
    us.fetch_all()
    us.stream.lose_consumer("eu")
    assert us.fetch_all() == [b"1", b"2"]


def test_all_that_waits_for_an_acknowledgement_can_come_again(us: StreamOfUs) -> None:
    us.publish(b"1", b"2")
    us.fetch_all(ack=False)
    us.stream.redeliver_all()
    assert sorted(us.fetch_all()) == [b"1", b"2"]


# Disks.


def written(disk: SimDisk, *values: bytes) -> SimDisk:
    for value in values:
        disk.put(b"d", value)
        disk.commit()
    return disk


def test_a_disk_that_fails_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = written(SimDisk("eu-1", Random(1)), b"1")
    for failing, act in (
        ("read", lambda: disk.get(b"d")),
        ("scan", lambda: disk.scan(b"", b"z", 10)),
        ("sync", disk.sync),
        ("commit", lambda: written(disk, b"2")),
    ):
        disk.failing = failing
        with pytest.raises(StorageError, match=f"eu-1: simulated failure of a {failing}"):
            act()
    assert disk.failing is None
    disk.crash()
    assert disk.get(b"d") in (None, b"1", b"2")


def test_a_commit_that_failed_is_there_or_not() -> None:
    found = set()
    for seed in range(20):
        disk = SimDisk("eu-1", Random(seed))
        disk.failing = "commit"
        with pytest.raises(StorageError):
            written(disk, b"1")
        disk.crash(disk.unsynced)
        found.add(disk.get(b"d"))
    assert found == {None, b"1"}


def test_what_is_shown_as_durable_is_what_survives() -> None:
    disk = SimDisk("eu-1", Random(1))
    shown: list[Batch] = []
    disk.on_durable = shown.append
    written(disk, b"1", b"2", b"3")
    disk.sync_to(1)
    assert shown == [{b"d": b"1"}]
    disk.crash(survivors=1)
    assert shown == [{b"d": b"1"}, {b"d": b"2"}]
    assert disk.get(b"d") == disk.durable(b"d") == b"2"


def test_a_disk_rolls_back_to_before_the_last_start() -> None:
    disk = SimDisk("eu-1", Random(1))
    assert not disk.roll_back()
    for value in (b"1", b"2"):
        written(disk, value).sync()
        disk.keep_backup()
    written(disk, b"3").sync()
    assert disk.roll_back()
    assert disk.get(b"d") == b"1"


@pytest.mark.parametrize("with_record", [True, False])
def test_a_wiped_disk_is_empty(with_record: bool) -> None:
    disk = written(SimDisk("eu-1", Random(1)), b"1")
    disk.record.write({"incarnation": 7})
    disk.wipe(with_record)
    assert disk.get(b"d") is None
    assert (disk.record.read() is None) == with_record


# Buckets.


def test_a_bucket_compares_before_it_sets_also_after_it_was_lost_or_set_back() -> None:
    topology = load("datacenters.yaml").first_topology("eu")
    bucket = TopologyBucket()
    assert bucket.write(topology, bucket.revision)
    found, revision = bucket.read()
    assert found == topology
    assert bucket.write(topology, revision)
    assert not bucket.write(topology, revision)
    stale = bucket.revision
    bucket.rewind()
    assert bucket.read()[0] == topology
    assert not bucket.write(topology, stale)
    bucket.wipe()
    assert bucket.read()[0] is None
    assert not bucket.write(topology, stale)
    assert bucket.write(topology, bucket.revision)


# Links.


class Wire:
    """One link, and what comes out at its end."""

    def __init__(self, **weather: float) -> None:
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, 1, Weather(**weather))
        self.arrived: list[bytes] = []

    def send(self, *payloads: bytes, may_double: bool = True) -> None:
        for payload in payloads:
            self.network.send("a", "b", payload, lambda _, payload: self.arrived.append(payload), may_double)

    def all(self) -> list[bytes]:
        self.scheduler.run_until(self.scheduler.now + 60)
        return self.arrived


def test_a_good_link_delivers_everything() -> None:
    wire = Wire()
    wire.send(b"1", b"2")
    assert sorted(wire.all()) == [b"1", b"2"]


def test_a_lossy_link_loses_some_and_a_doubling_one_doubles_only_what_may_be() -> None:
    lossy, doubling, careful = Wire(loss=0.5), Wire(duplication=1.0), Wire(duplication=1.0)
    lossy.send(*[b"x"] * 100)
    assert 20 < len(lossy.all()) < 80
    assert lossy.network.dropped == 100 - len(lossy.arrived)
    doubling.send(b"x")
    careful.send(b"x", may_double=False)
    assert (len(doubling.all()), len(careful.all())) == (2, 1)


def test_a_black_hole_swallows_one_direction_until_it_is_opened_as_often_as_blocked() -> None:
    wire = Wire()
    wire.network.block("a", "b")
    wire.network.block("a", "b")
    wire.network.unblock("a", "b")
    assert not wire.network.is_open("b", "a")
    wire.send(b"1")
    wire.network.unblock("a", "b")
    assert wire.network.is_open("a", "b")
    wire.send(b"2")
    assert wire.all() == [b"2"]


def test_what_is_under_way_is_lost_with_its_session() -> None:
    wire = Wire()
    wire.send(b"old")
    wire.network.reset("b", "a")
    wire.send(b"new")
    assert wire.all() == [b"new"]


def test_a_slow_link_is_slow() -> None:
    wire = Wire(delay_max_s=0.1)
    wire.network.slow_down("a", "b", 30)
    wire.send(b"1")
    wire.scheduler.run_until(0.2)
    assert wire.arrived == []
    assert wire.all() == [b"1"]
