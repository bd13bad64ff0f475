"""`connect`, the entry point of the package, and `Client`, a connection to a cluster."""

import json
import os
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

from crdtkv.client.arguments import checked_timeout
from crdtkv.client.buckets import Buckets
from crdtkv.client.core.asking import AskEach
from crdtkv.client.core.connecting import Connect
from crdtkv.client.host import ClientHost
from crdtkv.client.request_executor import RequestExecutor
from crdtkv.client.session import Session
from crdtkv.client.targets import Target, resolved
from crdtkv.client.value_ref import BucketScope, Level
from crdtkv.client.written import Written
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET, is_name, parse_identity
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Hello, InspectRequest, Message, RepairRequest, StatusRequest

DEFAULT_TIMEOUT_S = 5.0


class Held(NamedTuple):
    """The entry of a key that one node stores: its bytes, None if the node stores none."""

    encoded: bytes | None


class Client(Buckets):
    """A connection to a cluster, returned by `connect`. Its methods for keys use the bucket `default`.

    `topology`, `buckets`, `status`, `repair` and `inspect` are about the first data center of the client: the preferred
    one if it answered at `connect`, else one that did. Requests for keys may move to another one (`datacenter`).
    """

    def __init__(self, host: ClientHost, default_level: ConsistencyLevel | None, timeout_s: float) -> None:
        self._host = host
        self._routing = host.core.routing
        super().__init__(BucketScope(RequestExecutor(host, default_level, timeout_s), DEFAULT_BUCKET, None))

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def datacenter(self) -> str:
        """The data center that requests go to: the preferred one, or the next while no node of it is reachable."""
        return self._routing.current.name

    @property
    def moves(self) -> int:
        """The number of times that requests moved to another data center."""
        return self._routing.moves

    def on_move(self, callback: Callable[[str, str], None] | None) -> None:
        """Set a callback for moves of requests to another data center; None removes it.

        It is called as `callback(before, after)`, with the names of the data centers, in the request that moves, and
        must not raise. Each move is also logged as a warning by the logger `crdtkv.client`.
        """
        self._host.on_move = callback

    @property
    def topology(self) -> Topology:
        """The topology document, as the client knows it."""
        return self._routing.views[0].ring.topology

    @property
    def buckets(self) -> list[str]:
        """The names of all buckets, sorted."""
        return sorted(self._routing.views[0].buckets)

    def session(self, token: str | None = None) -> Session:
        """Begin a session: it reads its own writes, and never reads an older state than before.

        With the `token` of an earlier session, from any process and data center, it continues that session.

        Raises:
            InvalidRequest: `token` is not a session token.
        """
        return Session(self._scope.executor, token)

    async def wait_for(
        self, written: Written, *, datacenters: Iterable[str] | None = None, timeout: float | None = None
    ) -> tuple[str, ...]:
        """Wait until an earlier write is in other data centers: durable at a majority of its replicas in each.

        `written` is the result of a write, `datacenters` are names (default: all data centers of the cluster). The call
        makes no new write. It returns the data centers that have the write.

        Raises:
            WriteTimeout: the data centers `missing` did not confirm in time. The write is not lost: it reaches them
                when they can be reached.
            StaleReplica: no replica in reach has the write.
            ReadTimeout: too few replicas of this data center answered in time.
            Unavailable, Overloaded, NoNodeReachable, ClosedError: nothing was waited for.
            InvalidRequest: there is no such data center, or `written` is not the result of a write.
        """
        if not isinstance(written, Written):
            raise InvalidRequest(f"wait_for takes the result of a write, not {written!r:.40}")
        known = self._routing.views[0].datacenters
        if isinstance(datacenters, str) or not isinstance(datacenters, Iterable | None):
            raise InvalidRequest("wait_for takes the names of data centers as a list")
        names = sorted(known) if datacenters is None else list(datacenters)
        if not all(isinstance(name, str) for name in names):
            raise InvalidRequest("wait_for takes the names of data centers as a list")
        return await self._scope.executor.wait_for(written, names, timeout)

    async def status(self, timeout: float = 2.0) -> dict[str, dict[str, Any] | None]:
        """Return the status document of each node by node name, None for a node that does not answer.

        `timeout` is in seconds.

        Raises:
            InvalidRequest: the timeout is invalid, or this is not the client's event loop.
        """
        return await self._ask_all(StatusRequest, timeout)

    async def repair(
        self, partition: int | None = None, timeout: float = 2.0, between: str | None = None
    ) -> dict[str, dict[str, Any] | None]:
        """Start anti-entropy sessions between the replicas of a partition, or of all partitions (None).

        With `between`, the name of another data center, all nodes compare all their entries with a majority of the
        replicas there.
        The call does not wait for the end. It returns the status documents as `status` does; `comparing`, or `left` in
        `comparing_elsewhere`, counts down to an empty dictionary in later ones.

        Raises:
            InvalidRequest: there is no such partition, the timeout is invalid, or this is not the client's event loop.
        """
        partitions = self.topology.partitions
        if partition is not None and (type(partition) is not int or not 0 <= partition < partitions):
            raise InvalidRequest(f"partitions are numbered from 0 to {partitions - 1}: there is no {partition!r:.40}")
        return await self._ask_all(lambda number: RepairRequest(number, partition, between), timeout)

    async def inspect(self, identity: bytes, timeout: float = 2.0) -> dict[str, Held | None]:
        """Return the entry of a key that each node stores, by node name; None for a node that does not answer.

        The entries are not merged, no replica is repaired, and expired values are included until they are removed.
        `identity` is the result of `ids.identity_of`.

        Raises:
            InvalidKey, InvalidRequest, UnknownBucket: the identity or the timeout is invalid.
        """
        if not isinstance(identity, bytes):
            raise InvalidRequest(f"an identity is bytes (see ids.identity_of), not {type(identity).__name__}")
        parse_identity(identity)
        answers = await self._answers(lambda number: InspectRequest(number, identity), timeout)
        return {name: Held(answers[name]) if name in answers else None for name in self._node_names}

    @property
    def _node_names(self) -> list[str]:
        return sorted(self._routing.views[0].links)

    async def _ask_all(self, request: Callable[[int], Message], timeout: float) -> dict[str, dict[str, Any] | None]:
        answers = await self._answers(request, timeout)
        return {name: json.loads(answers[name].document) if name in answers else None for name in self._node_names}

    async def _answers(self, request: Callable[[int], Message], timeout: float) -> dict[str, Any]:
        """Send a request to every linked node; return the answers by node name."""
        self._host.check_loop()
        answers: dict[str, Any] = await self._host.run(AskEach(request, checked_timeout(timeout)))
        return answers

    async def close(self) -> None:
        """Close all links. Writes in flight raise `WriteTimeout`, because they may have been applied.

        Raises:
            InvalidRequest: this is not the event loop in which the client was connected.
            ClosedError: so, and that event loop is closed.
        """
        await self._host.close()


class Connecting:
    """The result of `connect`: await it, or use it with `async with`. It raises an error if used as a client."""

    def __init__(
        self, targets: tuple[Target, ...], datacenter: str | None, consistency: Level, timeout: float | None
    ) -> None:
        """Check the arguments.

        Raises:
            InvalidRequest, ConfigError: a target or an argument of `connect` is wrong.
        """
        if datacenter is not None and not isinstance(datacenter, str):
            raise InvalidRequest(f"the name of a data center is text, not {datacenter!r:.80}")
        self._cluster, self._addresses, said = resolved(targets, datacenter)
        self._datacenter = datacenter if datacenter is not None else said.get("datacenter")
        level = consistency if consistency is not None else said.get("consistency")
        self._level = level if level is None or isinstance(level, ConsistencyLevel) else level_named(level)
        if timeout is None and "timeout" in said:
            timeout = _seconds(said["timeout"])
        self._timeout_s = DEFAULT_TIMEOUT_S if timeout is None else checked_timeout(timeout)
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.close()

    def __enter__(self) -> NoReturn:
        raise InvalidRequest("a client is used with `async with crdtkv.connect(…) as kv:`, not with `with`")

    def __exit__(self, *_: object) -> None:
        """Complete the context manager protocol; `__enter__` always raises."""

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("_") and hasattr(Client, name):
            raise InvalidRequest(
                f"this client is not connected yet, so it has no {name!r}: "
                "write `kv = await crdtkv.connect(…)`, or `async with crdtkv.connect(…) as kv:`"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def _connect(self) -> Client:
        preferred = self._datacenter if is_name(self._datacenter) else ""
        host = ClientHost(Hello(self._cluster, preferred or "", "client", f"python-{os.getpid()}"))
        try:
            await host.run(Connect(self._addresses, self._datacenter, self._timeout_s))
        except BaseException:
            await host.close()
            raise
        return Client(host, self._level, self._timeout_s)


def connect(
    *targets: Target,
    datacenter: str | None = None,
    consistency: Level = None,
    timeout: float | None = None,
) -> Connecting:
    """Connect to a cluster: `async with crdtkv.connect("127.0.0.1:7401") as kv: …`, or `kv = await crdtkv.connect(…)`.

    `targets` are addresses of any nodes, the preferred first: `"host:port"`, `"host:port,host:port"`, lists of these;
    `"crdtkv://host:port,host:port/?datacenter=eu"`, with optional parameters `datacenter`, `consistency` and `timeout`;
    or the path of a `datacenters.yaml`.

    Requests go to `datacenter`, and to another one while no node of it is reachable. By default it is the data center
    of the first address if that answers in time, else another that answers. `consistency` is the level of calls
    without a level (default: that of the bucket). `timeout` is the deadline of such calls in seconds (default: 5; above
    0, at most a day). The client belongs to the event loop in which it is connected.

    Raises:
        InvalidRequest: there is no target, an address is malformed, the level is unknown or the timeout is invalid.
            When awaited or entered: the cluster has no such data center.
        ConfigError: the `datacenters.yaml` is wrong.
        NoNodeReachable (when awaited or entered): no node answers.
        ProtocolError (when awaited or entered): another cluster or another kind of server answers.
    """
    return Connecting(targets, datacenter, consistency, timeout)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return checked_timeout(text)
