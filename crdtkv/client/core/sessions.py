"""`SessionRead`: a read whose result has everything that its session has seen of the key.

If an answer lacks a part of that, the read is repeated at `LOCAL_QUORUM`, or at the level of the read if that asks as
many replicas; then with growing pauses, until the data center has received the part or the deadline passes. So the
guarantees of a session hold at every level, at every node, in every data center and, by the token, in every process.
"""

from typing import Any

from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.client.core.calls import Call, Owner
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.reading import Read
from crdtkv.client.core.retries import FIRST_PAUSE_S, LONGEST_PAUSE_S
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InvalidRequest, ReadTimeout, StaleReplica, Unavailable
from crdtkv.ids import parse_identity
from crdtkv.quorum.level import LOCAL_QUORUM, ConsistencyLevel


class SessionRead(Call):
    """One read in a session; the result is that of `Read`. `is_repeated` is true after the first repetition."""

    _reading: Read

    def __init__(
        self,
        identity: bytes,
        level: ConsistencyLevel,
        timeout_s: float,
        observations: Observations,
        owner: Owner | None = None,
    ) -> None:
        super().__init__(owner)
        self.identity = identity
        self._level = level
        self._timeout_s = timeout_s
        self._observations = observations
        self._pause_s = FIRST_PAUSE_S
        self.is_repeated = False

    @property
    def view(self) -> Any:
        """The data center of the last attempt."""
        return self._reading.view

    def begin(self, parts: ClientParts) -> None:
        """Read at the requested level, if the session has room for the key."""
        self.parts = parts
        self._deadline_s = parts.step.now + self._timeout_s
        try:
            self._observations.check_room(self.identity)
        except InvalidRequest as error:
            self.end(error=error)
            return
        self._read(self._level, self._timeout_s)

    def part_ended(self, part: Call, result: Any, error: CrdtkvError | None) -> None:
        """End with an answer that is new enough; else repeat the read."""
        if self.is_over:
            return
        if error is not None:
            is_extra = self._reading.level != self._level
            if is_extra and isinstance(error, (Unavailable, ReadTimeout)):
                self._read(self._level, max(self._deadline_s - self.parts.step.now, FIRST_PAUSE_S))
            else:
                self.end(error=error)
            return
        context = context_of(result)
        if self._observations.is_shown(self.identity, context):
            self._observations.read(self.identity, context)
            self.end(result)
        elif self.is_repeated:
            pause_s = self._pause_s * self.parts.random.uniform(0.5, 1.0)
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self.parts.timers.at(self.parts.step.now + pause_s, self._read_again)
        else:
            self._read_again()

    def cancel(self) -> None:
        """End the call and its read in flight."""
        if not self.is_over:
            super().cancel()
            self._reading.cancel()

    def _read_again(self) -> None:
        """Repeat the read, at least at a quorum, or end with `StaleReplica` if the deadline is near."""
        if self.is_over:
            return
        left_s = self._deadline_s - self.parts.step.now
        if left_s <= self._pause_s:
            self.end(
                error=StaleReplica(
                    f"this data center has not received {parse_identity(self.identity)!r} as the session has seen it: "
                    "wait, or read in the data center where it was written"
                )
            )
            return
        self.is_repeated = True
        self._read(self._repeated_level(), left_s)

    def _repeated_level(self) -> ConsistencyLevel:
        """Return `LOCAL_QUORUM` if the level asks fewer replicas or is sloppy, else the level."""
        level, replicas = self._level, self.parts.routing.views[0].replication_factor
        asks_fewer = level.read_quorum(replicas) < LOCAL_QUORUM.read_quorum(replicas)
        return LOCAL_QUORUM if asks_fewer or level.is_sloppy else level

    def _read(self, level: ConsistencyLevel, timeout_s: float) -> None:
        self._reading = Read(self.identity, level, timeout_s, self)
        self._reading.begin(self.parts)


def context_of(encoded: bytes | None) -> CausalContext:
    """Return the causal context of an encoded entry, an empty one for None."""
    return Entry.from_bytes(encoded).context if encoded is not None else EMPTY
