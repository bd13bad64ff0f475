"""`Resending`: sends all stored entries to the other data centers again, when outbox rows were lost.

If a node of this data center returns with another incarnation, its outbox is lost. The writes that it had acknowledged
are on other replicas, too, and each of them sends all its entries. A node whose outbox has dropped rows continues with
that as soon as the outbox has room.
"""

from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.outbox import Outbox
from crdtkv.storage import rows
from crdtkv.storage.store import Store

REFILL_EVERY_S = 0.1


class Resending:
    """One node's part in resending."""

    def __init__(self, kernel: Kernel, store: Store, outbox: Outbox) -> None:
        self._step = kernel.step
        self._store = store
        self._outbox = outbox
        self._refill_at = 0.0

    def incarnation_seen(self, node: str, incarnation: int) -> None:
        """Note the incarnation of a node of this data center; if it has changed, send everything again."""
        row = rows.incarnation_row(node)
        seen = incarnation.to_bytes(8, "big")
        known = self._store.get(row)
        if known == seen:
            return
        self._store.put(row, seen)
        if known is not None:
            self._outbox.send_everything()
            self._step.stats.count("geo_resends")
            self._step.effects.notes.append(f"{node} has a new incarnation: this node sends all its entries again")

    def run_due(self) -> None:
        """Refill the outbox if rows were dropped; a part at a time, so that no step takes long."""
        now_s = self._step.now.monotonic_s
        if self._outbox.has_dropped and now_s >= self._refill_at:
            self._outbox.refill(now_s)
            self._refill_at = now_s + REFILL_EVERY_S if self._outbox.has_dropped else 0.0

    def next_timer(self) -> float | None:
        """Return when to continue, None if no refill is in progress."""
        return self._refill_at or None
