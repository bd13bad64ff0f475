"""`Written`: the result of a write."""

from dataclasses import dataclass

from crdtkv.wire.messages import MutateReply


@dataclass(frozen=True, slots=True)
class Written:
    """An acknowledged write, for `Client.wait_for`.

    `dot` names the operation: an actor and its counter for the key. `timestamp` is its hybrid timestamp. `datacenters`
    are those in which it was durable when it was acknowledged, as far as its level waited for them, the own one first.
    """

    identity: bytes
    dot: tuple[str, int]
    timestamp: int
    datacenters: tuple[str, ...]

    @classmethod
    def of(cls, identity: bytes, reply: MutateReply) -> "Written":
        """Return the result of the write of a key."""
        names = tuple(name for name in reply.datacenters or () if isinstance(name, str))
        return cls(identity, (reply.actor, reply.counter), reply.timestamp, names)
