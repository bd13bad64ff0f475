"""`Resending`: when everything that is stored here is sent to the other data centers again.

A node of this data center that comes back as another incarnation has lost the outbox of the last one. What that one had
acknowledged is on other replicas, too, and each of them sends all it has. A node that had to drop outbox rows goes on
with that as soon as its outbox has room.
"""

from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.outbox import Outbox
from crdtkv.storage import rows
from crdtkv.storage.store import Store

REFILL_EVERY_S = 0.1


class Resending:
    """One node's part in it."""

    def __init__(self, kernel: Kernel, store: Store, outbox: Outbox) -> None:
        self._step = kernel.step
        self._store = store
        self._outbox = outbox
        self._refill_at = 0.0

    def incarnation_seen(self, node: str, incarnation: int) -> None:
        """Learn which incarnation a node of this data center is."""
        row = rows.incarnation_row(node)
        seen = incarnation.to_bytes(8, "big")
        known = self._store.get(row)
        if known == seen:
            return
        self._store.put(row, seen)
        if known is not None:
            self._outbox.send_everything()
            self._step.stats.count("geo_resends")
            self._step.effects.notes.append(f"{node} is a new incarnation: all that is stored here is sent again")

    def run_due(self) -> None:
        """Continue to fill the outbox, if rows were dropped; a part at a time, not to hold up a step for long."""
        now_s = self._step.now.monotonic_s
        if self._outbox.has_dropped and now_s >= self._refill_at:
            self._outbox.refill(now_s)
            self._refill_at = now_s + REFILL_EVERY_S if self._outbox.has_dropped else 0.0

    def next_timer(self) -> float | None:
        """Return when to continue."""
        return self._refill_at or None
