"""Who may supersede: drop versions that somebody else wrote and that the writer has not seen.

Only a blind write may, and only as its coordinator sends it (rule 14: repair merges, it never overwrites):

- A message that supersedes carries the record of an operation that a client asked its sender to carry out. That
  operation was made without a context, its dot is in the entry or in what the entry builds on (who has not seen that
  refuses it), and the time to supersede by is its own timestamp. The receiver is a home replica of the key.
- A replica supersedes only in the step in which such a message arrives, for the same key, by the same timestamp.

The superseding itself is then an operation like others, which `making` notes and `checking.specified` judges. Without
this judge any superseding passes as legitimate there.
"""

from typing import TYPE_CHECKING, Any

from crdtkv.checking.history import Dot
from crdtkv.node.kernel.events import Event, Peer, Received
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.stored import has, parse, violated
from crdtkv.storage import rows
from crdtkv.wire.messages import Message, MutateRequest, WriteReplica

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.world.host import SimNode

RULE = "rule 14"


class Superseding:
    """Looks at every superseding of one life: where it is asked for, and where it is done."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        #: Blind operations that were made: key, dot and timestamp.
        self._blind: set[tuple[bytes, Dot, int]] = set()
        #: By node and its life: the operations it was asked to carry out.
        self._asked: dict[tuple[str, int], set[bytes]] = {}
        #: By node: what may be superseded in the step it is in.
        self._allowed: dict[str, set[tuple[bytes, int]]] = {}

    def made(self, identity: bytes, dot: Dot, timestamp: int, is_blind: bool) -> None:
        """Learn of an operation."""
        if is_blind:
            self._blind.add((identity, dot, timestamp))

    def stepping(self, node: "SimNode", events: list[Event]) -> None:
        """Look at what a step is about to take in."""
        allowed = self._allowed[node.place.node] = set()
        for event in events:
            if not isinstance(event, Received):
                continue
            for message in expanded(event.messages):
                if isinstance(message, WriteReplica) and message.supersede_before:
                    allowed.add((message.identity, message.supersede_before))
                elif isinstance(message, MutateRequest):
                    self._asked.setdefault((node.place.node, node.life), set()).add(message.operation_id)

    def sent(self, node: "SimNode", peer: Peer, messages: list[Message]) -> None:
        """Look at what is really sent."""
        for message in expanded(messages):
            if isinstance(message, WriteReplica) and message.supersede_before:
                why = self._why_not(node, peer, message)
                if why:
                    violated(RULE, f"{node.place.node} has {peer} supersede {message.identity!r}: {why}")

    def merging(self, node: str, identity: bytes, supersede_before: int, is_replica: bool) -> None:
        """Look at a merge that may supersede."""
        if not is_replica:
            violated(RULE, f"{node} supersedes {identity!r}, of which it is no replica")
        if (identity, supersede_before) not in self._allowed.get(node, ()):
            violated(RULE, f"{node} supersedes {identity!r} before {supersede_before}, and nobody has asked it to")

    def _why_not(self, node: "SimNode", peer: Peer, message: WriteReplica) -> str:
        """Say why a message must not supersede, "" if it may."""
        record = message.record
        if not record:
            return "this is no write of a client"
        timestamp, counter = int.from_bytes(record[16:24], "big"), int.from_bytes(record[24:32], "big")
        dot = (record[32:].decode(), counter)
        if (message.identity, dot, timestamp) not in self._blind:
            return f"no blind write has made {dot} at {timestamp}"
        if message.supersede_before != timestamp:
            return f"by {message.supersede_before}, but {dot} is of {timestamp}"
        if not has(parse(message.entry), dot) and not _builds_on(message.basis, dot):
            return f"the entry does not hold {dot}"
        if record[:16] not in self._asked.get((node.place.node, node.life), ()):
            return f"{dot} was not asked of this node"
        homes = self._cluster.monitors.replicas(node.place.datacenter, rows.data_row(storage_key_of(message.identity)))
        return "" if peer in homes else "it is no home replica"


def _builds_on(basis: Any, dot: Dot) -> bool:
    """Tell whether only a replica that has seen a dot takes what builds on this."""
    if basis is None:
        return False
    vector, cloud = (dict.fromkeys(zip(flat[::2], flat[1::2], strict=True)) for flat in basis)
    return dot in cloud or any(actor == dot[0] and counter >= dot[1] for actor, counter in vector)
