"""What all parts of a core look at during one step: the time, the ring, who is reachable, and the effects so far."""

from crdtkv.node.calls import CallTable
from crdtkv.node.effects import Effects
from crdtkv.node.events import Now, Peer
from crdtkv.node.stats import Stats
from crdtkv.ring.hash_ring import HashRing
from crdtkv.wire.messages import Message


class Step:
    """The shared view; `now` and `effects` are replaced at the start of every step."""

    def __init__(self, node: str, datacenter: str, ring: HashRing, now: Now, first_call: int) -> None:
        self.node = node
        self.datacenter = datacenter
        self.ring = ring
        self.now = now
        self.effects = Effects()
        self.alive: set[str] = set()
        self.calls = CallTable(first_call)
        self.stats = Stats()
        #: Whether the disk takes entries; below its free-space floor it takes none, from wherever they come.
        self.has_disk_space = True

    @property
    def epoch(self) -> int:
        """The epoch of the ring in use."""
        return self.ring.topology.epoch

    def is_alive(self, node: str) -> bool:
        """Tell whether requests can be sent to a node of this data center (itself included)."""
        return node == self.node or node in self.alive

    def answer(self, peer: Peer, message: Message, is_durable: bool) -> None:
        """Send an answer, at once only if all it tells is durable."""
        if is_durable:
            self.effects.send(peer, message)
        else:
            self.effects.send_when_durable(peer, message)
