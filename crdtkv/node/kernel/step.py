"""`Step`: the state of the step in progress: the time, and the effects so far."""

from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Now, Peer
from crdtkv.node.kernel.stats import Stats
from crdtkv.wire.messages import Message


class Step:
    """One object for all steps of a core: `begin` replaces the time and the effects."""

    def __init__(self, now: Now) -> None:
        self.now = now
        self.effects = Effects()
        #: The monotonic arrival time of the client's request that the core begins now.
        self.arrived_s = now.monotonic_s
        #: The counters over all steps.
        self.stats = Stats()

    def begin(self, now: Now) -> Effects:
        """Begin a step; return its effects, to which the parts add."""
        self.now = now
        self.effects = Effects()
        return self.effects

    def answer(self, peer: Peer, message: Message, is_durable: bool) -> None:
        """Send an answer, at once only if everything in it is durable."""
        if is_durable:
            self.effects.send(peer, message)
        else:
            self.effects.send_when_durable(peer, message)
