"""`Placing`: the first two phases of every client request: check it, and place it on the ring.

A node that does not answer for a key forwards the request to one that does.
"""

from crdtkv.crdt.register import Register
from crdtkv.errors import CrdtkvError, InvalidRequest, Overloaded, Unavailable
from crdtkv.node.kernel.calls import MAX_TIMEOUT_MS
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck, PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.quorum_calls.forwarding import Forwardable, ForwardCall
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.node.replica.operations import Operations
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.ring.token import partition_of
from crdtkv.wire.messages import MutateRequest, ScanRequest

MAX_LEVELS = 256
UNKNOWN = "unknown"


class Placing:
    """The common checks of all client requests at one node."""

    def __init__(
        self, kernel: Kernel, keys: KeyCheck, selector: ReplicaSelector, operations: Operations, calls_max: int
    ) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._calls = kernel.calls
        self.keys = keys
        self._selector = selector
        self._operations = operations
        self._calls_max = calls_max
        self._levels: dict[str, ConsistencyLevel] = {}

    def level(self, text: str) -> ConsistencyLevel:
        """Parse a consistency level; results are cached.

        Raises:
            InvalidRequest: there is no level of that name.
        """
        level = self._levels.get(text)
        if level is None:
            level = level_named(text)
            if len(self._levels) < MAX_LEVELS:
                self._levels[text] = level
        return level

    def label(self, text: str) -> str:
        """Return a level's name for the metrics, `unknown` if there is no such level."""
        try:
            return self.level(text).name
        except CrdtkvError:
            return UNKNOWN

    def check_load(self) -> None:
        """Check that this node may begin one more call.

        Raises:
            Overloaded: it has too many in flight.
        """
        if len(self._calls) >= self._calls_max:
            raise Overloaded("the node has too many requests in flight: back off and retry")

    def forward(
        self, requester: Requester, request: Forwardable, token: int, level: ConsistencyLevel, required: int
    ) -> bool:
        """Forward a request that other nodes answer for; return False if this node does.

        A read goes to the home replica with the lowest cost, a write to the first one, so that concurrent writes of a
        key meet at one coordinator. At a sloppy level a node that is no home replica answers itself if no home replica
        is alive and it is the first fallback replica, or if the request was forwarded to it as such.

        Raises:
            Unavailable, Overloaded: the request was not forwarded, and this node does not answer for it.
        """
        cluster = self._cluster
        if cluster.serves(token):
            return False
        is_forwarded = isinstance(requester.peer, str)
        ring = cluster.ring
        nodes = [name for name in ring.replicas_at(token) if name in cluster.alive and name not in ring.learners]
        if not is_forwarded and not isinstance(request, MutateRequest):
            nodes = self._selector.ordered(nodes, 1)
        if level.is_sloppy and not isinstance(request, ScanRequest) and (is_forwarded or not nodes):
            fallbacks = cluster.fallbacks(partition_of(token, ring.partitions))
            nodes = [name for name in fallbacks if cluster.is_alive(name)]
            if cluster.node in nodes and (is_forwarded or nodes[0] == cluster.node):
                return False
        if is_forwarded:
            # A forwarded request is not forwarded again: the rings of the two nodes differ until both use one epoch.
            raise Unavailable(required, 0)
        self.check_load()
        call = ForwardCall(self._kernel, self._selector.latencies, self._operations, requester, request, required)
        call.start(nodes, deadline_of(requester, request.timeout_ms))
        return True


def check_linearizable(level: ConsistencyLevel, key: PlacedKey) -> None:
    """Check that a key may be used at a level.

    Raises:
        InvalidRequest: `LINEARIZABLE` is for registers only.
    """
    if level.is_linearizable and key.type_tag != Register.type_tag:
        raise InvalidRequest(f"LINEARIZABLE is for registers, not for a {key.type_tag}: use LOCAL_QUORUM")


def deadline_of(requester: Requester, timeout_ms: int) -> float:
    """Return when a request ends, monotonic."""
    return requester.started_s + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
