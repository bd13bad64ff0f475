"""`Filling`: transfers all entries to a data center that is new or has lost disks.

A learner cannot recover entries from other replicas if these have lost their disks, too, or if there are none. Then its
data center may lack entries that only the others still have. The node asks every node of every other data center,
repeatedly, and keeps the list of nodes without an answer on its disk. A node that is asked sends everything it stores
through its outbox (`Outbox.send_everything`), and sends `FillDone` when the data center has confirmed all of that. A
data center that was added to the configuration is filled in the same way, without a request.

Invariant: a node that waits for a fill reports the data centers it waits for (`unfilled`), and a node whose outbox has
dropped rows reports that, too. So a lag of zero is always correct.
"""

from collections.abc import Mapping, Sequence

from crdtkv.node.kernel.effects import SendBus
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.storage import rows
from crdtkv.storage.store import Store
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import FillDone, FillWanted, Message

ASK_EVERY_S = 2.0
#: How soon a data center may ask for everything once more.
AGAIN_AFTER_S = 60.0


class Filling:
    """One node's part in filling data centers; `others` are the nodes of the other data centers, by data center."""

    def __init__(
        self, kernel: Kernel, replica: Replica, store: Store, outbox: Outbox, others: Mapping[str, Sequence[str]]
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._store = store
        self._outbox = outbox
        self._datacenter_of = {node: datacenter for datacenter, nodes in others.items() for node in nodes}
        self._waits_for: set[str] = set()
        for row, _ in store.scan(*rows.FILL_WANTED_RANGE, 10_000):
            node = rows.fill_wanted_in(row)
            if node in self._datacenter_of:
                self._waits_for.add(node)
            else:
                store.delete(row)
        self._ask_at = kernel.step.now.monotonic_s
        #: By data center in a fill: the outbox number up to which it must confirm, None while the outbox is refilled.
        self._fills: dict[str, int | None] = {}
        self._not_before: dict[str, float] = {}
        #: The nodes that have asked, and those that were sent `FillDone`, with the incarnation that asked.
        self._askers: dict[str, int] = {}
        self._filled: dict[str, int] = {}
        self._send_to_new(sorted(others))

    @property
    def unfilled(self) -> list[str]:
        """The data centers that may hold what this one lacks, sorted."""
        return sorted({self._datacenter_of[node] for node in self._waits_for})

    def want(self) -> None:
        """Request a fill from all other data centers, because entries that were stored here may be lost."""
        for node in sorted(self._datacenter_of):
            self._store.put(rows.fill_wanted_row(node), b"")
            self._waits_for.add(node)
        self._ask_at = self._step.now.monotonic_s

    def next_timer(self) -> float | None:
        """Return when to ask, or to check confirmations, again; None if no fill is in progress."""
        return self._ask_at if self._waits_for or self._fills else None

    def run_due(self) -> None:
        """Ask again, and send `FillDone` where a fill is complete, if it is time."""
        now_s = self._step.now.monotonic_s
        if not (self._waits_for or self._fills) or now_s < self._ask_at:
            return
        self._ask_at = now_s + ASK_EVERY_S
        for node in sorted(self._waits_for):
            self._send(node, FillWanted(self._cluster.node, self._replica.incarnation))
        for datacenter in sorted(self._fills):
            if self._fills[datacenter] is None and not self._outbox.has_dropped:
                self._fills[datacenter] = self._outbox.next_number
            until = self._fills[datacenter]
            if until is not None and self._outbox.is_confirmed_below(datacenter, until):
                del self._fills[datacenter]
                for node in sorted(self._askers):
                    if self._datacenter_of[node] == datacenter:
                        self._tell(node, self._askers.pop(node))

    def asked(self, message: FillWanted) -> None:
        """Handle the request of a node of another data center."""
        node, incarnation = message
        datacenter, now_s = self._datacenter_of.get(node), self._step.now.monotonic_s
        if datacenter is None:
            self._step.stats.count("junk_messages")
        elif self._filled.get(node) == incarnation:
            self._tell(node, incarnation)  # the first `FillDone` was lost
        elif datacenter in self._fills:
            self._askers[node] = incarnation
        elif now_s >= self._not_before.get(datacenter, 0.0):
            self._askers[node] = incarnation
            self._fills[datacenter] = None
            self._not_before[datacenter] = now_s + AGAIN_AFTER_S
            self._outbox.send_everything()
            self._step.stats.count("geo_fills")
            self._step.effects.notes.append(f"{datacenter} has lost disks: this node sends all its entries there again")

    def done(self, message: FillDone) -> None:
        """Note that this data center has confirmed everything that the other node had to send."""
        if message.node in self._waits_for:
            self._waits_for.discard(message.node)
            self._store.delete(rows.fill_wanted_row(message.node))

    def _tell(self, node: str, incarnation: int) -> None:
        self._filled[node] = incarnation
        self._send(node, FillDone(self._cluster.node))

    def _send(self, node: str, message: Message) -> None:
        payload = encode_frame(0, [message])
        self._step.effects.held_bus.append(SendBus(self._datacenter_of[node], node, payload))

    def _send_to_new(self, datacenters: list[str]) -> None:
        """Send everything if a data center was added to the configuration since the last run of this node."""
        names = "\n".join(datacenters).encode()
        known = self._store.get(rows.GEO_PEERS)
        if (known or b"") == names:
            return
        before = known.decode().split("\n") if known is not None else []
        added = [name for name in datacenters if name not in before]
        if added and self._store.scan(*rows.DATA_RANGE, 1):
            self._outbox.send_everything()
            self._step.effects.notes.append(f"{', '.join(added)} may lack entries of this node: it sends all again")
        self._store.put(rows.GEO_PEERS, names)
