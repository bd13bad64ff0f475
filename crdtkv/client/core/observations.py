"""`Observations`: what the calls of one caller have seen, which later calls of the same caller go by.

Every caller remembers the highest timestamp it has seen: its later writes are ordered behind it. A caller in a session
also remembers the causal context of every key that it has read or written (`causality.seen`).
"""

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.causality.seen import Seen
from crdtkv.wire.messages import MutateReply


class Observations:
    """The highest timestamp, and in a session what it has `seen`."""

    __slots__ = ("newest", "seen")

    def __init__(self, seen: Seen | None = None, newest: HybridTimestamp = 0) -> None:
        self.seen = seen
        self.newest = max(newest, seen.newest) if seen is not None else newest

    def observe(self, timestamp: HybridTimestamp) -> None:
        """Remember the highest timestamp."""
        self.newest = max(self.newest, timestamp)
        if self.seen is not None:
            self.seen.observe(timestamp)

    def written(self, identity: bytes, reply: MutateReply) -> None:
        """Remember an acknowledged write."""
        self.newest = max(self.newest, reply.timestamp)
        if self.seen is not None:
            self.seen.written(identity, Dot(reply.actor, reply.counter), reply.timestamp)

    def is_shown(self, identity: bytes, context: CausalContext) -> bool:
        """Tell whether a key with this context shows all that a session has seen of it."""
        return self.seen is None or self.seen.is_in(identity, context)

    def read(self, identity: bytes, context: CausalContext) -> None:
        """Remember what was read of a key."""
        if self.seen is not None:
            self.seen.read(identity, context)

    def check_room(self, identity: bytes) -> None:
        """Refuse a key that a session cannot remember, before anything is done with it.

        Raises:
            InvalidRequest: too many keys were seen.
        """
        if self.seen is not None:
            self.seen.check_room(identity)
