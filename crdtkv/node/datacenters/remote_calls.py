"""`RemoteCall`: one request to several other data centers, in flight.

It goes to one node of each data center, and that node carries it out with the home replicas there. A node that has not
answered after `ATTEMPT_S` may be down: the next one is asked, after pauses that double, until one has answered or the
deadline has passed. Both requests may be repeated: storing an entry is a merge, and reading changes nothing.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence

from crdtkv.errors import CrdtkvError, InvalidRequest, Overloaded, ReadTimeout, Unavailable, WriteTimeout
from crdtkv.node.datacenters.bus_link import BusLink
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.wire.messages import GeoEntry, GeoRead, GeoWrite, GeoWritten, Message

ATTEMPT_S = 1.0
#: The most bytes of entries that calls of a node carry; further requests are refused.
BYTES_IN_FLIGHT = 64 * 1024 * 1024

#: Called with the data centers that have answered and those that have not.
Ended = Callable[[list[str], list[str]], None]


class RemoteCall(Call):
    """One request; it ends when `needed` data centers have answered, or at the deadline."""

    def __init__(self, kernel: Kernel, bus: BusLink, key: PlacedKey, ended: Ended) -> None:
        self._step = kernel.step
        self._calls = kernel.calls
        self._bus = bus
        self._key = key
        self._ended = ended
        self._needed = 0
        self._deadline_s = 0.0
        #: By data center without an answer: how many nodes were asked.
        self._asked: dict[str, int] = {}
        self._answered: list[str] = []
        self._pause_s = ATTEMPT_S
        self._number = 0

    @property
    def storage_keys(self) -> Collection[bytes]:
        """The storage key."""
        return (self._key.storage_key,)

    def begin(self, datacenters: Sequence[str], needed: int, deadline_s: float) -> None:
        """Ask one node of each data center."""
        self._number = self._calls.add(self)
        self._needed, self._deadline_s = needed, deadline_s
        self._asked = dict.fromkeys(datacenters, 0)
        self.timer("again")

    def answered(self, replica: str, message: Message) -> None:
        """Note the answer of a node of another data center; a refusal makes the next node be asked in time."""
        datacenter = self._bus.datacenter_of(replica)
        if datacenter in self._asked and self.take(message):
            del self._asked[datacenter]
            self._answered.append(datacenter)
            if len(self._answered) >= self._needed:
                self._end()

    def lost(self, replica: str) -> None:
        """Ignore a lost node of this data center."""

    def timer(self, purpose: str) -> None:
        """Ask the next node of each data center that has not answered, or end at the deadline."""
        now_s = self._step.now.monotonic_s
        if now_s >= self._deadline_s:
            self._end()
            return
        for datacenter, asked in self._asked.items():
            nodes = self._bus.nodes[datacenter]
            # Calls begin with different nodes of the other data center, by their number.
            node = nodes[(self._number + asked) % len(nodes)]
            if self._bus.has_room(node):
                self._bus.send(node, self.request(self._number, self._left_ms()))
                self._asked[datacenter] = asked + 1
        self._calls.set_timer(self._number, min(now_s + self._pause_s, self._deadline_s), "again")
        self._pause_s *= 2

    @abstractmethod
    def request(self, number: int, timeout_ms: int) -> Message:
        """Return the request."""

    @abstractmethod
    def take(self, message: Message) -> bool:
        """Take the answer of a data center; return False if it is none, or a refusal."""

    def _left_ms(self) -> int:
        return max(1, int((self._deadline_s - self._step.now.monotonic_s) * 1000))

    def _end(self) -> None:
        self._calls.end(self._number)
        self._ended(self._answered, [*self._asked])


class RemoteWrite(RemoteCall):
    """Stores an entry at a majority of the home replicas in other data centers, or at all of them."""

    def __init__(
        self, kernel: Kernel, bus: BusLink, key: PlacedKey, entry: bytes, is_for_all: bool, ended: Ended
    ) -> None:
        super().__init__(kernel, bus, key, ended)
        self._entry = entry
        self._is_for_all = is_for_all

    def request(self, number: int, timeout_ms: int) -> Message:
        """Return the request."""
        return GeoWrite(number, self._key.identity, self._entry, self._is_for_all, timeout_ms)

    def take(self, message: Message) -> bool:
        """Take a confirmation."""
        return isinstance(message, GeoWritten) and message.is_stored


class RemoteRead(RemoteCall):
    """Reads the entry of a key in other data centers; `entries` are the answers, without those that are None."""

    def __init__(self, kernel: Kernel, bus: BusLink, key: PlacedKey, is_for_all: bool, ended: Ended) -> None:
        super().__init__(kernel, bus, key, ended)
        self._is_for_all = is_for_all
        self.entries: list[bytes] = []

    def request(self, number: int, timeout_ms: int) -> Message:
        """Return the request."""
        return GeoRead(number, self._key.identity, self._is_for_all, timeout_ms)

    def take(self, message: Message) -> bool:
        """Take an entry."""
        if not isinstance(message, GeoEntry) or not message.is_read:
            return False
        if message.entry is not None:
            self.entries.append(message.entry)
        return True


class Elsewhere:
    """Begins the calls of one node to other data centers."""

    def __init__(self, kernel: Kernel, bus: BusLink) -> None:
        self._kernel = kernel
        self._bus = bus
        self._bytes_in_flight = 0

    def check(self, level: ConsistencyLevel) -> None:
        """Check that a request at this level can reach other data centers.

        Raises:
            Unavailable: this data center's NATS is down, so that no answer can arrive.
            Overloaded: too many entries wait for other data centers already.
        """
        if level.spans_datacenters and self._bus.nodes:
            self._check_room()
            if not self._bus.is_up:
                raise Unavailable(1 + level.remote_quorum(len(self._bus.nodes)), 1, self._bus.datacenters)

    def check_names(self, names: Sequence[object]) -> list[str]:
        """Return data centers of a client's request, without this one.

        Raises:
            InvalidRequest: one of them is no data center of the cluster.
            Unavailable: this data center's NATS is down.
            Overloaded: too many entries wait for other data centers already.
        """
        self._check_room()
        others: list[str] = []
        for name in names:
            if isinstance(name, str) and name in self._bus.nodes:
                if name not in others:
                    others.append(name)
            elif name != self._kernel.cluster.datacenter:
                known = ", ".join(sorted([self._kernel.cluster.datacenter, *self._bus.nodes]))
                raise InvalidRequest(f"no data center {name!r:.40}: there are {known}")
        if others and not self._bus.is_up:
            raise Unavailable(1 + len(others), 1, others)
        return others

    def write(
        self,
        key: PlacedKey,
        entry: bytes,
        level: ConsistencyLevel,
        deadline_s: float,
        then: Callable[[list[str]], None],
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        """Store an entry in as many other data centers as the level requires; `then` gets their names."""
        needed = level.remote_quorum(len(self._bus.nodes))
        self._write(key, entry, self._bus.datacenters, needed, level.name == "ALL", deadline_s, then, failed)

    def write_in(
        self,
        key: PlacedKey,
        entry: bytes,
        datacenters: Sequence[str],
        deadline_s: float,
        then: Callable[[list[str]], None],
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        """Store an entry at a majority of the home replicas of each of these data centers."""
        self._write(key, entry, datacenters, len(datacenters), False, deadline_s, then, failed)

    def _check_room(self) -> None:
        if self._bytes_in_flight >= BYTES_IN_FLIGHT:
            raise Overloaded("too many entries wait for other data centers: back off and retry")

    def _write(
        self,
        key: PlacedKey,
        entry: bytes,
        datacenters: Sequence[str],
        needed: int,
        is_for_all: bool,
        deadline_s: float,
        then: Callable[[list[str]], None],
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        if not needed:
            then([])
            return

        self._bytes_in_flight += len(entry)

        def ended(answered: list[str], missing: list[str]) -> None:
            self._bytes_in_flight -= len(entry)
            if len(answered) >= needed:
                then(sorted(answered))
            else:
                failed(WriteTimeout(1 + len(answered), 1 + needed, sorted(missing)))

        RemoteWrite(self._kernel, self._bus, key, entry, is_for_all, ended).begin(datacenters, needed, deadline_s)

    def read(
        self,
        key: PlacedKey,
        level: ConsistencyLevel,
        deadline_s: float,
        then: Callable[[list[bytes]], None],
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        """Read a key in as many other data centers as the level requires; `then` gets the entries."""
        needed = level.remote_quorum(len(self._bus.nodes))
        if not needed:
            then([])
            return

        def ended(answered: list[str], missing: list[str]) -> None:
            if len(answered) >= needed:
                then(call.entries)
            else:
                failed(ReadTimeout(len(answered), needed, sorted(missing)))

        call = RemoteRead(self._kernel, self._bus, key, level.name == "ALL", ended)
        call.begin(self._bus.datacenters, needed, deadline_s)
