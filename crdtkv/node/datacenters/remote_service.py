"""`RemoteService`: carries out what the nodes of other data centers request, and routes their answers to the calls.

A node that does not count refuses, and so does one that cannot reach enough home replicas; the other side then asks the
next node.
"""

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, ProtocolError
from crdtkv.node.datacenters.applying import Applier, ArrivedEntry
from crdtkv.node.datacenters.bus_link import BusLink
from crdtkv.node.datacenters.remote_calls import RemoteCall
from crdtkv.node.kernel.calls import MAX_TIMEOUT_MS
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.quorum.level import majority
from crdtkv.wire.messages import GeoEntry, GeoRead, GeoWrite, GeoWritten, Message


class RemoteService:
    """The requests that one node carries out for other data centers."""

    def __init__(
        self, kernel: Kernel, bus: BusLink, keys: KeyCheck, applier: Applier, quorum_calls: QuorumCalls, calls_max: int
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._bus = bus
        self._keys = keys
        self._applier = applier
        self._quorum_calls = quorum_calls
        self._calls_max = calls_max

    def received(self, sender: str, message: Message) -> bool:
        """Handle a request or an answer; return False if it is another message.

        Raises:
            CrdtkvError: it is malformed, or the sender is unknown.
        """
        self._bus.datacenter_of(sender)
        if isinstance(message, GeoWritten | GeoEntry):
            call = self._calls.get(message.id)
            if isinstance(call, RemoteCall):
                call.answered(sender, message)
        elif isinstance(message, GeoWrite):
            self._write(sender, message)
        elif isinstance(message, GeoRead):
            self._read(sender, message)
        else:
            return False
        return True

    @property
    def _may_serve(self) -> bool:
        return self._cluster.counts and len(self._calls) < self._calls_max

    def _write(self, sender: str, request: GeoWrite) -> None:
        key = self._keys.from_peer(request.identity)
        entry = Entry.from_peer(request.entry, key.type_tag)
        homes = self._cluster.homes(key.token)

        def answer(is_stored: bool) -> None:
            self._bus.send(sender, GeoWritten(request.id, is_stored))

        if not self._may_serve or not self._step.effects.has_room_for(sender):
            answer(False)
            return
        self._step.stats.count("geo_writes")
        self._applier.apply(
            homes,
            [ArrivedEntry(key, entry)],
            lambda: answer(True),
            lambda _: answer(False),
            self._required(request.is_for_all),
            self._deadline_s(request.timeout_ms),
        )

    def _read(self, sender: str, request: GeoRead) -> None:
        key = self._keys.from_peer(request.identity)

        def answer(entry: bytes | None, _: bool) -> None:
            # The bus holds it until it is durable.
            self._bus.send(sender, GeoEntry(request.id, entry, True))

        def refuse(_: CrdtkvError) -> None:
            self._bus.send(sender, GeoEntry(request.id, None, False))

        if not self._may_serve or not self._step.effects.has_room_for(sender):
            refuse(ProtocolError("this node does not serve now"))
            return
        self._step.stats.count("geo_reads")
        self._quorum_calls.read(
            key,
            self._cluster.responsibles(key.token, is_sloppy=False),
            self._required(request.is_for_all),
            self._deadline_s(request.timeout_ms),
            answer,
            refuse,
        )

    def _required(self, is_for_all: bool) -> int:
        factor = self._cluster.ring.replication_factor
        return factor if is_for_all else majority(factor)

    def _deadline_s(self, timeout_ms: int) -> float:
        return self._step.now.monotonic_s + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
