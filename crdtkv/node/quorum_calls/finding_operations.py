"""`FindCall`: finds out whether an operation that a client retries was carried out.

It asks all responsible replicas of the key, and the nodes that the client tried before. A node that forwarded the
operation answers with the nodes it forwarded to, which are asked as well. A node that has the write answers with its
record and the entry. The operation counts as unknown only when a majority of the replicas do not know it, and with them
every node that may have begun it: otherwise a write that only that node has would appear later, and the operation would
have been carried out twice. Even when the result is certain, the call waits for silent nodes until `PATIENCE_S` after
its start, because one of them may have the write.
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

#: Called with `(record, entry)`: found, and the entry has its dot; `(record, None)`: known, but no node that knows it
#: holds the entry any more; or `(None, None)`: unknown.
Found = Callable[[Record | None, bytes | None], None]


class FindCall(Call):
    """One search in flight."""

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
        """Ask all other nodes that may know the operation; `own` is what this node knows of it."""
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
        """Note the answer of a node; end the call if it brings the write."""
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
        """Stop waiting for a node."""
        self._asked.discard(replica)
        self._progress()

    def timer(self, purpose: str) -> None:
        """Stop waiting for silent nodes if the result is certain, and at the deadline in any case."""
        self._is_patient = False
        if purpose == "deadline":
            self._asked.clear()
        self._progress()

    def _take(self, node: str, known: Record | HandedOn | None) -> None:
        """Note the answer of a node that does not hold the write."""
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
