"""`FindCall`: what became of an operation that a client tries again.

Everybody who answers for the key is asked, and the nodes that were tried before; who handed the operation on names
those it handed it to, which are asked as well. Whoever has the write brings its record and the entry. That nobody
has is believed when a majority of the replicas say so, and with them every node that may have begun it: what only that
one has would come up later, and the operation would have been carried out twice. Those that are silent are waited for
a moment more, because the one that knows may be among them.
"""

from collections.abc import Callable, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, Unavailable
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.replica.operations import HandedOn, Record, parsed_record
from crdtkv.quorum.level import majority
from crdtkv.wire.messages import FindOperation, Message, OperationFound

PATIENCE_S = 0.25

#: Called with the record and an entry that has its dot, with None for the entry if who knew of it has given that away;
#: with None twice if nobody has seen the operation.
Found = Callable[[Record | None, bytes | None], None]


class FindCall(Call):
    """One question in flight."""

    def __init__(self, kernel: Kernel, key: PlacedKey, then: Found, failed: Callable[[CrdtkvError], None]) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._key = key
        self._then = then
        self._failed = failed
        self._is_patient = True
        self._known: Record | None = None

    def start(
        self,
        operation_id: bytes,
        tried: Sequence[str],
        own: Record | HandedOn | None,
        responsibles: Sequence[Responsible],
        deadline_s: float,
    ) -> None:
        """Ask everybody else; `own` is what this node knows of the operation."""
        step = self._step
        self._operation_id = operation_id
        self._required = majority(self._cluster.ring.replication_factor)
        self._counted = {responsible.node for responsible in responsibles if responsible.is_counted}
        self._suspects = set(tried)
        self._strangers: set[str] = set()
        self._asked: set[str] = set()
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, step.now.monotonic_s + PATIENCE_S, "patience")
        self._calls.set_timer(self._number, deadline_s, "deadline")
        self._take(self._cluster.node, own)
        self._ask(self._counted | self._suspects)
        self._progress()

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
        if not isinstance(message, OperationFound) or replica not in self._asked:
            return
        self._asked.discard(replica)
        known = parsed_record(message.record) if message.record else None
        if isinstance(known, Record) and message.entry is not None:
            entry = Entry.from_replica(message.entry, self._key.type_tag)
            if known.dot in entry.context:
                self._calls.end(self._number)
                self._then(known, message.entry)
                return
        self._take(replica, known)
        self._progress()

    def lost(self, replica: str) -> None:
        """See `Call`."""
        self._asked.discard(replica)
        self._progress()

    def timer(self, purpose: str) -> None:
        """See `Call`."""
        self._is_patient = False
        if purpose == "deadline":
            self._asked.clear()
        self._progress()

    def _take(self, node: str, known: Record | HandedOn | None) -> None:
        """Take what a node knows that does not have the write."""
        if isinstance(known, Record):
            self._known = known
            return
        self._strangers.add(node)
        if known is not None:
            self._ask(set(known.nodes) - self._suspects)
            self._suspects.update(known.nodes)

    def _ask(self, nodes: set[str]) -> None:
        for name in sorted((nodes & self._cluster.alive) - self._asked - self._strangers):
            self._asked.add(name)
            self._step.effects.send(name, FindOperation(self._number, self._key.identity, self._operation_id))

    def _progress(self) -> None:
        strangers = len(self._strangers & self._counted)
        is_unknown = strangers >= self._required and self._suspects <= self._strangers
        is_settled = is_unknown or self._known is not None
        if self._asked and (self._is_patient or not is_settled):
            return
        self._calls.end(self._number)
        if is_settled:
            self._then(self._known, None)
        else:
            self._failed(Unavailable(self._required, strangers))
