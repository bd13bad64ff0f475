"""A simulated JetStream stream of one data center: it delivers at least once, and may lose acknowledged messages.

It has all known faults of the real one. Messages are delivered again. Acknowledgments of publishers and of consumers
get lost. A wiped or damaged stream loses all messages, its end, or a piece of its middle, and *uses sequence numbers
again*, so an acknowledgment of an old message may apply to a new one. A lost consumer begins again at the first
message. A consumer whose position is beyond the new end of a stream skips all messages up to that position.
"""

from collections import deque
from collections.abc import Callable
from random import Random

from crdtkv.sim.world.scheduler import Scheduler

ACK_WAIT_S = 3.0
#: The number of messages of another data center that a node processes at a time.
UNFINISHED_MAX = 8


class Consumer:
    """The durable consumer of one data center: the messages to deliver, and those without an acknowledgment."""

    def __init__(self) -> None:
        self.pending: deque[tuple[int, bytes]] = deque()
        self.unacked: dict[int, bytes] = {}
        #: The highest sequence number that was delivered.
        self.position = 0

    @property
    def is_idle(self) -> bool:
        """Whether all messages are delivered and acknowledged."""
        return not self.pending and not self.unacked


class Stream:
    """Messages by sequence number, and their consumers. It calls `ready` when a consumer has a message to deliver."""

    def __init__(self, scheduler: Scheduler, random: Random, peers: list[str], ready: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._random = random
        self._ready = ready
        self.is_up = True
        self.refuses = False
        self.ack_loss = 0.0
        self._messages: dict[int, bytes] = {}
        self._sequence = 0
        self.consumers = {peer: Consumer() for peer in peers}

    def publish(self, payload: bytes) -> bool:
        """Append a message; return whether the publisher gets an acknowledgment. Without one it may be stored, too."""
        if not self.is_up or self.refuses:
            return False
        self._sequence += 1
        self._messages[self._sequence] = payload
        for peer, consumer in self.consumers.items():
            if self._sequence > consumer.position:
                consumer.pending.append((self._sequence, payload))
                self._ready(peer)
        return self._random.random() >= self.ack_loss

    def fetch(self, datacenter: str) -> tuple[int, bytes] | None:
        """Deliver the next message, and deliver it again if it is not acknowledged in time."""
        consumer = self.consumers[datacenter]
        if not self.is_up or not consumer.pending:
            return None
        sequence, payload = consumer.pending.popleft()
        consumer.unacked[sequence] = payload
        consumer.position = max(consumer.position, sequence)
        self._scheduler.after(ACK_WAIT_S, lambda: self.redeliver(datacenter, sequence, payload))
        return sequence, payload

    def ack(self, datacenter: str, sequence: int) -> None:
        """Complete a message for this consumer, unless the acknowledgment is lost."""
        if self.is_up and self._random.random() >= self.ack_loss:
            self.consumers[datacenter].unacked.pop(sequence, None)

    def redeliver(self, datacenter: str, sequence: int, payload: bytes | None = None) -> None:
        """Deliver an unacknowledged message again; with `payload`, only if the number still names that message."""
        consumer = self.consumers[datacenter]
        if payload is not None and consumer.unacked.get(sequence) is not payload:
            return
        waiting = consumer.unacked.pop(sequence, None)
        if waiting is not None:
            consumer.pending.appendleft((sequence, waiting))
            self._ready(datacenter)

    def redeliver_all(self) -> None:
        """Deliver all unacknowledged messages again."""
        for datacenter, consumer in self.consumers.items():
            for sequence in list(consumer.unacked):
                self.redeliver(datacenter, sequence)

    def wipe(self) -> None:
        """Lose all messages and consumers; sequence numbers start at 1 again."""
        self._sequence = 0
        self._messages = {}
        self.consumers = {peer: Consumer() for peer in self.consumers}

    def lose_suffix(self, share: float, rewind: bool) -> int:
        """Lose the newest messages; use their numbers again if `rewind`; return how many were lost."""
        count = min(10, round(len(self._messages) * share))
        lost = list(self._messages)[len(self._messages) - count :]
        self._lose(lost)
        if rewind and lost:
            self._sequence = lost[0] - 1
        return len(lost)

    def lose_middle(self, share: float) -> int:
        """Lose a piece of the stream, as by a damaged block file; return how many messages were lost."""
        sequences = list(self._messages)
        start = self._random.randrange(len(sequences) + 1)
        lost = sequences[start : start + max(1, round(len(sequences) * share))]
        self._lose(lost)
        return len(lost)

    def lose_consumer(self, datacenter: str) -> None:
        """Lose a consumer; a new one begins at the first stored message."""
        consumer = self.consumers[datacenter] = Consumer()
        consumer.pending.extend(self._messages.items())
        self._ready(datacenter)

    def _lose(self, sequences: list[int]) -> None:
        gone = frozenset(sequences)
        for sequence in sequences:
            del self._messages[sequence]
        for consumer in self.consumers.values():
            consumer.pending = deque(item for item in consumer.pending if item[0] not in gone)
            consumer.unacked = {number: item for number, item in consumer.unacked.items() if number not in gone}
