"""`connect` and `Client`."""

import json
import os
from collections.abc import Callable, Generator
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
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET, is_name, parse_identity
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Hello, InspectRequest, Message, RepairRequest, StatusRequest

DEFAULT_TIMEOUT_S = 5.0


class Held(NamedTuple):
    """What one node itself holds of a key: the bytes of an entry, None for nothing."""

    encoded: bytes | None


class Client(Buckets):
    """A connection to a cluster; the verbs act on the bucket `default`. Made by `connect`."""

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
        """The data center requests go to now: the preferred one, or the next while no node of that is reachable."""
        return self._routing.current.name

    @property
    def moves(self) -> int:
        """How often requests began to go to another data center."""
        return self._routing.moves

    def on_move(self, told: Callable[[str, str], None] | None) -> None:
        """Have `told` called, from which data center to which, whenever requests begin to go to another one.

        It is called within the request that goes there, and must not raise. (The logger `crdtkv.client` warns, too.)
        """
        self._host.on_move = told

    @property
    def topology(self) -> Topology:
        """The ring of that data center as the client knows it."""
        return self._routing.views[0].ring.topology

    @property
    def buckets(self) -> list[str]:
        """The names of all buckets."""
        return sorted(self._routing.views[0].buckets)

    def session(self, token: str | None = None) -> Session:
        """Begin a session: its reads show all that it has written, and never go back in time.

        With the `token` of another session, of whatever process and data center, it goes on from there.

        Raises:
            InvalidRequest: it is no token.
        """
        return Session(self._scope.executor, token)

    async def status(self, timeout: float = 2.0) -> dict[str, dict[str, Any] | None]:
        """Return what each node of the data center says of itself, None for a node that does not answer.

        Raises:
            InvalidRequest: the timeout is none.
        """
        return await self._ask_all(StatusRequest, timeout)

    async def repair(self, partition: int | None = None, timeout: float = 2.0) -> dict[str, dict[str, Any] | None]:
        """Have all replicas of the data center compare a partition (None: all of them) with each other now.

        Returns at once, like `status`; `comparing` in it counts down to an empty dict while they do.

        Raises:
            InvalidRequest: there is no such partition, or the timeout is none.
        """
        partitions = self.topology.partitions
        if partition is not None and (type(partition) is not int or not 0 <= partition < partitions):
            raise InvalidRequest(f"partitions are numbered from 0 to {partitions - 1}: there is no {partition!r:.40}")
        return await self._ask_all(lambda number: RepairRequest(number, partition), timeout)

    async def inspect(self, identity: bytes, timeout: float = 2.0) -> dict[str, Held | None]:
        """Return what each node of the data center itself holds of a key, None for a node that does not answer.

        Nothing is merged or mended, and what has expired is shown until it is cleared. `identity` is what
        `ids.identity_of` returns.

        Raises:
            InvalidKey, InvalidRequest, UnknownBucket: there can be no such key, or the timeout is none.
        """
        if not isinstance(identity, bytes):
            raise InvalidRequest(f"an identity is bytes, as ids.identity_of makes it, not {type(identity).__name__}")
        parse_identity(identity)
        told = await self._answers(lambda number: InspectRequest(number, identity), timeout)
        return {name: Held(told[name]) if name in told else None for name in self._node_names}

    @property
    def _node_names(self) -> list[str]:
        return sorted(self._routing.views[0].links)

    async def _ask_all(self, request: Callable[[int], Message], timeout: float) -> dict[str, dict[str, Any] | None]:
        told = await self._answers(request, timeout)
        return {name: json.loads(told[name].document) if name in told else None for name in self._node_names}

    async def _answers(self, request: Callable[[int], Message], timeout: float) -> dict[str, Any]:
        """Ask every node of the data center; return what those said that answered."""
        self._host.check_loop()
        told: dict[str, Any] = await self._host.run(AskEach(request, checked_timeout(timeout)))
        return told

    async def close(self) -> None:
        """Close all links. Writes in flight end as `WriteTimeout`; whether they were applied is unknown.

        Raises:
            InvalidRequest, ClosedError: this is not the event loop the client was connected in.
        """
        await self._host.close()


class Connecting:
    """What `connect` returns: await it, or use it with `async with`. Until then it is no client, and says so."""

    def __init__(
        self, targets: tuple[Target, ...], datacenter: str | None, consistency: Level, timeout: float | None
    ) -> None:
        """Check the arguments.

        Raises:
            InvalidRequest, ConfigError: as `connect` does.
        """
        if datacenter is not None and not isinstance(datacenter, str):
            raise InvalidRequest(f"a data center has a name, which {datacenter!r:.80} is not")
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
        """Only here for `__enter__`, which tells what to write instead."""

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

    `targets` are addresses of any nodes, the preferred first: `"host:port"`, `"host:port,host:port"`, lists of these,
    or `"crdtkv://host:port,host:port/?datacenter=eu"`, which may also say `consistency` and `timeout`; or a
    `datacenters.yaml`. Requests go to `datacenter` (default: the first that answers), and to the next one when none of
    its nodes is reachable. `consistency` is the level of calls that name none (default: the bucket's), `timeout` their
    deadline in seconds (default: 5; above 0, at most a day). The client belongs to the event loop it is connected in.

    Raises:
        InvalidRequest: no target, a malformed address, an unknown level, a timeout that is none. When it is awaited or
            entered: the cluster has no such data center.
        ConfigError: the `datacenters.yaml` is wrong.
        NoNodeReachable (when awaited or entered): no node answers.
        ProtocolError (when awaited or entered): another cluster answers, or something else than a node.
    """
    return Connecting(targets, datacenter, consistency, timeout)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return checked_timeout(text)
