"""The outbox's guarantee under failures: when all is idle, every data center has every last write.

Streams lose, repeat and delay messages, publishes fail with and without effect, nodes crash and lose unsynced data,
outboxes overflow. Only rows that the other data centers have confirmed may be deleted.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv.node.replica.comparison_marks import ComparisonMarks
from crdtkv.node.replica.outbox import Outbox
from crdtkv.storage import rows
from crdtkv.storage.memory import MemoryStore

PEERS = ("ap", "us")
Message = list[tuple[int, bytes, int]]


class World:
    """One node with its store and outbox, and two data centers that read its stream. Values are version numbers."""

    def __init__(self, rows_max: int) -> None:
        self.rows_max = rows_max
        self.store = MemoryStore()
        self.now = 0.0
        self.version = 0
        self.streams: dict[str, list[Message]] = {peer: [] for peer in PEERS}
        self.confirmations: list[tuple[str, list[int]]] = []
        self.known: dict[str, dict[bytes, int]] = {peer: {} for peer in PEERS}
        self.storage_key_of: dict[int, bytes] = {}
        self.outbox = self._open()

    def _open(self) -> Outbox:
        self.marks = ComparisonMarks(self.store, PEERS)
        return Outbox(self.store, self.marks, self.rows_max, self.now)

    def step(self, act: str, choice: int) -> None:
        self.now += 1.0
        getattr(self, act)(choice)
        assert len(self.outbox) <= self.rows_max
        self.check_that_nothing_is_forgotten()

    def check_that_nothing_is_forgotten(self) -> None:
        """Whatever a data center does not know has its row in the store, or that data center is marked."""
        waiting = {storage_key for _, storage_key in self.store.scan(*rows.OUTBOX_RANGE, limit=100)}
        for storage_key, version in self.latest().items():
            for peer in PEERS:
                if storage_key not in waiting and self.marks.kind(peer) is None:
                    assert self.known[peer].get(storage_key) == version

    def write(self, choice: int) -> None:
        storage_key = b"key %d" % (choice % 3)
        self.version += 1
        self.store.put(rows.data_row(storage_key), b"%d" % self.version)
        self.outbox.record(storage_key, self.now)
        self.store.commit()

    def sync(self, choice: int) -> None:
        self.store.sync()

    def publish(self, choice: int) -> None:
        """Send a batch; one sending in four fails without effect, one in four fails and has arrived anyway."""
        batch = self.outbox.next_batch(1 + choice % 3, self.now)
        message = [(outbox_seq, storage_key, self._stored(storage_key)) for outbox_seq, storage_key in batch]
        self.store.commit()
        self.store.sync()  # nothing leaves before it is durable
        for outbox_seq, storage_key, _ in message:
            assert self.storage_key_of.setdefault(outbox_seq, storage_key) == storage_key
        if choice % 4 != 1 and message:
            for stream in self.streams.values():
                stream.append(message)
        if choice % 4 in (1, 2):
            self.outbox.give_back(outbox_seq for outbox_seq, _ in batch)

    def deliver(self, choice: int) -> None:
        """Let one or both data centers apply a message, in any order, sometimes without taking it off the stream."""
        for peer in PEERS if choice % 2 else PEERS[choice % 4 // 2 :][:1]:
            stream = self.streams[peer]
            if stream:
                position = choice % len(stream)
                message = stream[position] if choice == 6 else stream.pop(position)
                for _, storage_key, version in message:
                    self.known[peer][storage_key] = max(version, self.known[peer].get(storage_key, 0))
                self.confirmations.append((peer, [outbox_seq for outbox_seq, _, _ in message]))

    def lose(self, choice: int) -> None:
        """Wipe what a stream holds for a data center."""
        self.streams[PEERS[choice % 2]].clear()

    def confirm(self, choice: int) -> None:
        """Let confirmations arrive: all of them, or one in any order, perhaps to come again."""
        arriving = self.confirmations if choice % 2 else self.confirmations[choice % 3 :][:1]
        for confirmation in list(arriving):
            self.outbox.confirm(*confirmation)
            if choice != 6:
                self.confirmations.remove(confirmation)
        self.store.commit()

    def forget_confirmation(self, choice: int) -> None:
        if self.confirmations:
            self.confirmations.pop(choice % len(self.confirmations))

    def republish(self, choice: int) -> None:
        peer = PEERS[choice % 2]
        if not self.streams[peer]:
            self.outbox.republish_lost(peer, self.now)

    def compare(self, choice: int) -> None:
        """Compare all entries with a marked data center."""
        peer = PEERS[choice % 2]
        if self.marks.kind(peer) is not None:
            self.store.commit()
            self.store.sync()
            self.known[peer] |= self.latest()
            self.marks.clear(peer)
        self.store.commit()

    def crash(self, choice: int) -> None:
        self.store.crash(survivors=choice % 4)
        self.outbox = self._open()

    def settle(self) -> None:
        """Let everything work until there is nothing left to do."""
        for _ in range(200):
            if not len(self.outbox) and not len(self.marks):
                return
            for choice in range(len(PEERS)):
                self.step("compare", choice)
                self.step("republish", choice)
            while self.outbox.queued:
                self.step("publish", 3)
            while any(self.streams.values()):
                self.step("deliver", 1)
            self.step("confirm", 1)
        raise AssertionError("the outbox never drains")

    def _stored(self, storage_key: bytes) -> int:
        value = self.store.get(rows.data_row(storage_key))
        assert value is not None, "an outbox row without its entry"
        return int(value)

    def latest(self) -> dict[bytes, int]:
        found = self.store.scan(*rows.DATA_RANGE, limit=100)
        return {rows.storage_key_in(row): int(value) for row, value in found}


ACTS = ["write"] * 4 + ["publish", "deliver", "confirm"] * 3
FAILURES = ["sync", "lose", "forget_confirmation", "republish", "republish", "compare", "crash"]
STEPS = st.lists(st.tuples(st.sampled_from(ACTS + FAILURES), st.integers(0, 11)), min_size=10, max_size=60)


@settings(max_examples=500)
@given(STEPS, st.sampled_from([100, 2]))
def test_when_all_is_quiet_every_data_center_has_every_last_write(steps: list[tuple[str, int]], rows_max: int) -> None:
    world = World(rows_max)
    for act, choice in steps:
        world.step(act, choice)
    world.settle()
    latest = world.latest()
    for peer in PEERS:
        assert {key: world.known[peer].get(key, 0) for key in latest} == latest
