"""`ComparisonMarks`: the other data centers with which this node must compare what it stores.

A mark is set when entries are known not to reach another data center by the stream, or to be missing here: outbox rows
were dropped, another replica lost its outbox, a data center is new, or disks of this one are lost. It is stored in the
same commit as the change that makes it necessary, and cleared when a session of anti-entropy between the data centers
(`geo.anti_entropy`), begun after the mark was last set, is done.

There are two kinds. `GIVE`: the other data center may lack entries of this node; it is enough to compare each partition
with a majority of its replicas there. `EXCHANGE`: this one may lack entries, too; every node there must be compared
with, because any of them may hold the only copy.
"""

from collections.abc import Sequence

from crdtkv.storage import rows
from crdtkv.storage.store import Store

GIVE = b"give"
EXCHANGE = b"exchange"
_MAX_MARKS = 10_000


class ComparisonMarks:
    """The marks of one node, by data center; `peers` are the other data centers."""

    def __init__(self, store: Store, peers: Sequence[str]) -> None:
        self._store = store
        self.peers = tuple(peers)
        self._kinds: dict[str, bytes] = {}
        self._times_set = dict.fromkeys(self.peers, 0)
        start, stop = rows.COMPARE_RANGE
        for row, kind in store.scan(start, stop, _MAX_MARKS):
            datacenter = rows.compared_in(row)
            if datacenter in self._times_set:
                self._kinds[datacenter] = kind
                self._times_set[datacenter] = 1
            else:
                store.delete(row)
        self._mark_new()

    def __len__(self) -> int:
        return len(self._kinds)

    def kind(self, datacenter: str) -> bytes | None:
        """Return the kind of a data center's mark, None if it has none."""
        return self._kinds.get(datacenter)

    def times_set(self, datacenter: str) -> int:
        """Return how often a mark was set; a session may clear it only if that has not changed since it began."""
        return self._times_set[datacenter]

    def set(self, datacenter: str, kind: bytes) -> None:
        """Set a mark, in the store's current batch; `EXCHANGE` includes `GIVE`."""
        self._times_set[datacenter] += 1
        if self._kinds.get(datacenter) not in (EXCHANGE, kind):
            self._kinds[datacenter] = kind
            self._store.put(rows.compare_row(datacenter), kind)

    def set_all(self, kind: bytes) -> None:
        """Set the marks of all other data centers."""
        for datacenter in self.peers:
            self.set(datacenter, kind)

    def clear(self, datacenter: str) -> None:
        """Clear a mark, in the store's current batch."""
        if self._kinds.pop(datacenter, None) is not None:
            self._store.delete(rows.compare_row(datacenter))

    def _mark_new(self) -> None:
        """Mark the data centers that were added to the configuration since the last run of this node."""
        names = "\n".join(sorted(self.peers)).encode()
        known = self._store.get(rows.GEO_PEERS)
        if (known or b"") == names:
            return
        before = known.decode().split("\n") if known is not None else []
        start, stop = rows.DATA_RANGE
        if self._store.scan(start, stop, 1):
            for datacenter in self.peers:
                if datacenter not in before:
                    self.set(datacenter, GIVE)
        self._store.put(rows.GEO_PEERS, names)
