"""`Seen`: what somebody has seen of a store, by key; whoever must not go back in time compares with it.

Dots are counted per key, so there is no shorter summary than a causal context for every key. It grows with the keys, up
to a bound.

Source: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994).
"""

from typing import Any, Self

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.errors import InvalidRequest, ProtocolError

MAX_KEYS = 10_000
#: What is under way when the bound is reached still gets in.
MAX_KEYS_IN_TOKEN = 2 * MAX_KEYS
_FORMAT = 1


class Seen:
    """Contexts by key identity, and the highest hybrid timestamp."""

    def __init__(self) -> None:
        self.contexts: dict[bytes, CausalContext] = {}
        self.newest: HybridTimestamp = 0

    def __len__(self) -> int:
        return len(self.contexts)

    def is_in(self, identity: bytes, context: CausalContext) -> bool:
        """Tell whether a key with this context shows all that was seen of it."""
        seen = self.contexts.get(identity)
        return seen is None or context.descends(seen)

    def check_room(self, identity: bytes) -> None:
        """Refuse a key that there is no room for, before anything is done with it.

        Raises:
            InvalidRequest: too many keys were seen.
        """
        if len(self.contexts) >= MAX_KEYS and identity not in self.contexts:
            raise InvalidRequest(f"a session remembers at most {MAX_KEYS:,} keys: begin a new one")

    def read(self, identity: bytes, context: CausalContext) -> None:
        """Note what was read of a key."""
        if context:
            self.contexts[identity] = self.contexts.get(identity, EMPTY).merge(context)

    def written(self, identity: bytes, dot: Dot, timestamp: HybridTimestamp) -> None:
        """Note an acknowledged write."""
        self.contexts[identity] = self.contexts.get(identity, EMPTY).with_dot(dot)
        self.observe(timestamp)

    def observe(self, timestamp: HybridTimestamp) -> None:
        """Note a timestamp."""
        self.newest = max(self.newest, timestamp)

    def take(self, other: Self) -> None:
        """Note all that somebody else has seen.

        Raises:
            InvalidRequest: too many keys were seen by both together.
        """
        if len(self.contexts.keys() | other.contexts.keys()) > MAX_KEYS:
            raise InvalidRequest(f"a session remembers at most {MAX_KEYS:,} keys: these two have more together")
        for identity, context in other.contexts.items():
            self.read(identity, context)
        self.observe(other.newest)

    def to_token(self) -> str:
        """Return everything as one word."""
        wire = [_FORMAT, self.newest, [[key, context.to_wire()] for key, context in self.contexts.items()]]
        return cbor.encode_text(wire)

    @classmethod
    def from_token(cls, token: str) -> Self:
        """Parse what `to_token` returned.

        Raises:
            InvalidRequest: it is something else.
        """
        try:
            wire: Any = cbor.decode_text(token)
        except ProtocolError:
            wire = None
        seen = cls()
        match wire:
            case [int() as version, int() as newest, list() as rows] if (
                [type(version), type(newest)] == [int, int]
                and version == _FORMAT
                and 0 <= newest < 2**63
                and len(rows) <= MAX_KEYS_IN_TOKEN
            ):
                seen.newest = newest
                for row in rows:
                    match row:
                        case [bytes() as identity, context]:
                            seen.read(identity, CausalContext.from_wire(context))
                        case _:
                            raise InvalidRequest("not the token of a session")
                return seen
        raise InvalidRequest("not the token of a session")
