"""`ApplyCall`: writes the entries of a message from another data center to the home replicas that they share.

All entries go in one message, and are acknowledged together (`ApplyEntries`). An entry that this node has just merged
is sent as it is stored now, with the digest of the entry that it was merged into: a replica that holds that very entry
stores the result unread, as it does with the writes of a coordinator here (`Replica.adopt`).
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.quorum_calls.storing import Failed, StoreCall, Then
from crdtkv.quorum.tally import Tally
from crdtkv.wire.messages import ApplyEntries, Message, ReplicaWritten


class AppliedEntry(NamedTuple):
    """An entry for the home replicas. `made_on` is as in `Write`, `newest` the highest timestamp in the entry."""

    key: PlacedKey
    entry: bytes
    made_on: bytes
    newest: HybridTimestamp


class ApplyCall(StoreCall):
    """The entries of one message for the same home replicas, in flight."""

    def __init__(self, kernel: Kernel, local: LocalCopy, then: Then, failed: Failed) -> None:
        super().__init__(kernel, then, failed)
        self._local = local
        self._is_held_here = False
        self._keys: Sequence[PlacedKey] = ()
        self._rows: list[object] = []

    @property
    def storage_keys(self) -> Collection[bytes]:
        """The storage keys of the entries."""
        return [key.storage_key for key in self._keys]

    def start(self, entries: Sequence[AppliedEntry], homes: Sequence[str], required: int, deadline_s: float) -> None:
        """Send the entries to all home replicas that are alive; this node has stored them if it is one of them."""
        cluster = self._cluster
        self._keys = [entry.key for entry in entries]
        self._rows = [
            item for key, entry, made_on, newest in entries for item in (key.identity, entry, made_on, newest)
        ]
        alive = [name for name in homes if cluster.is_alive(name)]
        self._is_held_here = cluster.node in homes
        self.begin(Tally([name for name in alive if name not in cluster.uncounted], required), deadline_s)
        for name in homes:
            if name == cluster.node:
                self._tally.ok(name)
            elif name in alive:
                self._waiting.add(name)
                self.send_to(name)
            else:
                self.remember(name)
        self.progress()

    def answered(self, replica: str, message: Message) -> None:
        """Count the acknowledgment of a replica."""
        if replica in self._waiting and isinstance(message, ReplicaWritten):
            self.stored(replica)

    def send_to(self, replica: str) -> None:
        """Send all entries."""
        self._step.effects.send_when_durable(replica, ApplyEntries(self._number, self._rows))

    def remember(self, replica: str) -> None:
        """Store a hint for each entry."""
        if self._is_held_here:
            for key in self._keys:
                self._local.add_hint_ref(key, replica)
