"""A simulated JetStream of one data center: it delivers at least once, forgets, and says it has not.

Everything that was measured or is known of the real one is here: messages come again; an acknowledgement of either
kind gets lost; a wiped or damaged stream loses all, its end, or a piece from its middle, and *uses sequence numbers
again*, so that an acknowledgement of an old message can hit a new one; a consumer is lost and begins anew from the
first message; a consumer that stands behind the end of a stream which was set back skips what comes until its old
place is reached.
"""

from collections import deque
from collections.abc import Callable
from random import Random

from crdtkv.sim.world.scheduler import Scheduler

ACK_WAIT_S = 3.0
#: How many messages of another data center a node works on at a time.
UNFINISHED_MAX = 8


class Consumer:
    """The durable consumer of one data center: what it still has to deliver, and what waits for an acknowledgement."""

    def __init__(self) -> None:
        self.pending: deque[tuple[int, bytes]] = deque()
        self.unacked: dict[int, bytes] = {}
        #: The highest sequence number handed out.
        self.position = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to deliver or to acknowledge."""
        return not self.pending and not self.unacked


class Stream:
    """Messages by sequence number, handed out per consumer. `ready` is called when a consumer has something."""

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
        """Append a message; False when the publisher is not told that it was taken (which it may be all the same)."""
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
        """Hand out the next message; what is not acknowledged in time comes again."""
        consumer = self.consumers[datacenter]
        if not self.is_up or not consumer.pending:
            return None
        sequence, payload = consumer.pending.popleft()
        consumer.unacked[sequence] = payload
        consumer.position = max(consumer.position, sequence)
        self._scheduler.after(ACK_WAIT_S, lambda: self.redeliver(datacenter, sequence, payload))
        return sequence, payload

    def ack(self, datacenter: str, sequence: int) -> None:
        """Forget a message for this consumer, unless the acknowledgement is lost."""
        if self.is_up and self._random.random() >= self.ack_loss:
            self.consumers[datacenter].unacked.pop(sequence, None)

    def redeliver(self, datacenter: str, sequence: int, payload: bytes | None = None) -> None:
        """Put a message that was not acknowledged back in front; with `payload`, only if it is still that one."""
        consumer = self.consumers[datacenter]
        if payload is not None and consumer.unacked.get(sequence) is not payload:
            return
        waiting = consumer.unacked.pop(sequence, None)
        if waiting is not None:
            consumer.pending.appendleft((sequence, waiting))
            self._ready(datacenter)

    def redeliver_all(self) -> None:
        """Hand out again what waits for an acknowledgement."""
        for datacenter, consumer in self.consumers.items():
            for sequence in list(consumer.unacked):
                self.redeliver(datacenter, sequence)

    def wipe(self) -> None:
        """Lose every message and every consumer; sequence numbers begin anew."""
        self._sequence = 0
        self._messages = {}
        self.consumers = {peer: Consumer() for peer in self.consumers}

    def lose_suffix(self, share: float, rewind: bool) -> int:
        """Lose the newest messages, and go on counting where they were, or use their numbers again; return how many."""
        count = min(10, round(len(self._messages) * share))
        lost = list(self._messages)[len(self._messages) - count :]
        self._lose(lost)
        if rewind and lost:
            self._sequence = lost[0] - 1
        return len(lost)

    def lose_middle(self, share: float) -> int:
        """Lose a piece of what is kept, as a damaged block file does; return how many."""
        sequences = list(self._messages)
        start = self._random.randrange(len(sequences) + 1)
        lost = sequences[start : start + max(1, round(len(sequences) * share))]
        self._lose(lost)
        return len(lost)

    def lose_consumer(self, datacenter: str) -> None:
        """Lose a consumer; it is made again and begins at the first message that is kept."""
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
