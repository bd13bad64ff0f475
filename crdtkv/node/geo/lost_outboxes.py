"""`LostOutboxes`: notices that another node of this data center has lost its outbox, with its disk.

The writes that it had acknowledged are on other replicas, too. Each of them compares what it stores with the other
data centers.
"""

from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.comparison_marks import GIVE, ComparisonMarks
from crdtkv.storage import rows
from crdtkv.storage.store import Store


class LostOutboxes:
    """The incarnations of the other nodes, as one node knows them."""

    def __init__(self, kernel: Kernel, store: Store, marks: ComparisonMarks) -> None:
        self._step = kernel.step
        self._store = store
        self._marks = marks

    def incarnation_seen(self, node: str, incarnation: int) -> None:
        """Note the incarnation of a node of this data center; if it has changed, mark all other data centers."""
        row = rows.incarnation_row(node)
        seen = incarnation.to_bytes(8, "big")
        known = self._store.get(row)
        if known == seen:
            return
        self._store.put(row, seen)
        if known is not None and self._marks.peers:
            self._marks.set_all(GIVE)
            self._step.stats.count("outboxes_lost")
            others = ", ".join(self._marks.peers)
            self._step.effects.notes.append(f"{node} has a new disk: comparing all entries with {others}")
