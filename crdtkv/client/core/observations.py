"""`Observations`: the timestamps and contexts that the calls of one caller have seen.

`newest` is the highest timestamp seen: later writes of the caller get higher ones. In a session, `seen` has the causal
context of every key that was read or written (`causality.seen`).
"""

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.causality.seen import Seen
from crdtkv.wire.messages import MutateReply


class Observations:
    """The highest timestamp seen; in a session also the contexts by key, else `seen` is None."""

    __slots__ = ("newest", "seen")

    def __init__(self, seen: Seen | None = None, newest: HybridTimestamp = 0) -> None:
        self.seen = seen
        self.newest = max(newest, seen.newest) if seen is not None else newest

    def observe(self, timestamp: HybridTimestamp) -> None:
        """Note a timestamp; only the highest is kept."""
        self.newest = max(self.newest, timestamp)
        if self.seen is not None:
            self.seen.observe(timestamp)

    def written(self, identity: bytes, reply: MutateReply) -> None:
        """Note an acknowledged write: its timestamp, and in a session its dot."""
        self.newest = max(self.newest, reply.timestamp)
        if self.seen is not None:
            self.seen.written(identity, Dot(reply.actor, reply.counter), reply.timestamp)

    def is_shown(self, identity: bytes, context: CausalContext) -> bool:
        """Return whether an entry with this context has everything that the session has seen of the key."""
        return self.seen is None or self.seen.is_in(identity, context)

    def read(self, identity: bytes, context: CausalContext) -> None:
        """Note, in a session, the context of an entry that was read."""
        if self.seen is not None:
            self.seen.read(identity, context)

    def check_room(self, identity: bytes) -> None:
        """Check that a session has room for a key; call before the key is read or written.

        Raises:
            InvalidRequest: the session remembers the most keys already, and not this one.
        """
        if self.seen is not None:
            self.seen.check_room(identity)
