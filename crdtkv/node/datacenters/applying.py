"""`Applier`: stores entries of another data center at a majority of their home replicas here.

Entries arrive in messages of a stream (`geo.replication`), in exchanges (`geo.anti_entropy`) and in writes that wait
for this data center (`remote_service`). This node merges those of
which it is a home replica, and sends the results to the other home replicas, all in one message.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InsufficientStorage
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.quorum_calls.applying import AppliedEntry
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.replica.replica import Replica

APPLY_TIMEOUT_S = 5.0


class ArrivedEntry(NamedTuple):
    """An entry of another data center; `is_part` if it is a part whose basis this node, a home replica, has seen."""

    key: PlacedKey
    entry: Entry
    is_part: bool = False


class Applier:
    """The entries that one node applies."""

    def __init__(self, kernel: Kernel, replica: Replica, quorum_calls: QuorumCalls) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._quorum_calls = quorum_calls

    def apply(
        self,
        homes: Sequence[str],
        entries: Sequence[ArrivedEntry],
        then: Callable[[], None],
        failed: Callable[[CrdtkvError], None],
        required: int | None = None,
        deadline_s: float | None = None,
    ) -> None:
        """Store entries that have the same home replicas; call `then` when `required` (a majority) have all of them.

        What `then` sends must wait until this node's own commit is durable.
        """
        is_home = self._cluster.node in homes
        try:
            merged = [self._merged(arrived, is_home) for arrived in entries]
        except InsufficientStorage as error:
            failed(error)
            return
        until_s = self._step.now.monotonic_s + APPLY_TIMEOUT_S if deadline_s is None else deadline_s
        self._quorum_calls.apply(merged, homes, until_s, then, failed, required)

    def _merged(self, arrived: ArrivedEntry, is_home: bool) -> AppliedEntry:
        """Merge an entry here, if this node is a home replica; return what the others must store."""
        key, entry, is_part = arrived
        if not is_home:
            return AppliedEntry(key, entry.to_bytes(), b"", 0)
        result, made_on = self._replica.merge_from_elsewhere(key, entry)
        if is_part and not made_on:
            # The other replicas may not have seen the basis.
            result = self._replica.entry(key.storage_key) or result
        return AppliedEntry(key, result.to_bytes(), made_on, result.state.newest())
