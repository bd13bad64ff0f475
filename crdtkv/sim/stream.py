"""A simulated JetStream of one data center: it delivers at least once, and forgets when it is told to."""

from random import Random

from crdtkv.sim.faults import Faults
from crdtkv.sim.scheduler import Scheduler

ACK_WAIT_S = 3.0


class Consumer:
    """The durable consumer of one data center: what it still has to deliver, and what waits for an acknowledgement."""

    def __init__(self) -> None:
        self.pending: list[tuple[int, bytes]] = []
        self.unacked: dict[int, bytes] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to deliver or to acknowledge."""
        return not self.pending and not self.unacked


class Stream:
    """Messages by sequence number, handed out per consumer."""

    def __init__(self, scheduler: Scheduler, random: Random, faults: Faults, peers: list[str]) -> None:
        self._scheduler = scheduler
        self._random = random
        self.faults = faults
        self.is_up = True
        self._sequence = 0
        self.consumers = {peer: Consumer() for peer in peers}

    def publish(self, payload: bytes) -> bool:
        """Append a message; False when the server is down."""
        if not self.is_up:
            return False
        self._sequence += 1
        for consumer in self.consumers.values():
            consumer.pending.append((self._sequence, payload))
        return True

    def fetch(self, datacenter: str, limit: int) -> list[tuple[int, bytes]]:
        """Hand out the next messages; what is not acknowledged in time comes again."""
        consumer = self.consumers[datacenter]
        if not self.is_up:
            return []
        batch, consumer.pending = consumer.pending[:limit], consumer.pending[limit:]
        for sequence, payload in batch:
            consumer.unacked[sequence] = payload
            self._scheduler.after(ACK_WAIT_S, lambda sequence=sequence: self.redeliver(datacenter, sequence))  # type: ignore[misc]
        return batch

    def ack(self, datacenter: str, sequence: int) -> None:
        """Forget a message for this consumer; the acknowledgement itself may be lost."""
        if self.is_up and self._random.random() >= self.faults.loss:
            self.consumers[datacenter].unacked.pop(sequence, None)

    def redeliver(self, datacenter: str, sequence: int) -> None:
        """Put a message that was not acknowledged back in front."""
        consumer = self.consumers[datacenter]
        payload = consumer.unacked.pop(sequence, None)
        if payload is not None:
            consumer.pending.insert(0, (sequence, payload))

    def wipe(self) -> None:
        """Lose every message, and begin the sequence anew: numbers are used a second time."""
        self._sequence = 0
        self.consumers = {peer: Consumer() for peer in self.consumers}
