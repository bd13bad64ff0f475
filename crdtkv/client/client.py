"""`connect` and `Client`."""

import asyncio
import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from crdtkv.client.buckets import Buckets
from crdtkv.client.caller import Caller
from crdtkv.client.connection import LinkLost, NoAnswer
from crdtkv.client.place import Level, Shelf
from crdtkv.client.router import Router
from crdtkv.client.session import Session
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import InspectRequest, Message, RepairRequest, StatusRequest

DEFAULT_TIMEOUT_S = 5.0


class Held(NamedTuple):
    """What one node itself holds of a key: the bytes of an entry, None for nothing."""

    encoded: bytes | None


class Client(Buckets):
    """A connection to a cluster; the verbs act on the bucket `default`. Made by `connect`."""

    def __init__(self, router: Router, default_level: ConsistencyLevel | None, timeout_s: float) -> None:
        self._router = router
        super().__init__(Shelf(Caller(router, default_level, timeout_s), DEFAULT_BUCKET, None))

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def datacenter(self) -> str:
        """The data center requests go to now: the preferred one, or the next while no node of that is reachable."""
        return self._router.current.name

    @property
    def topology(self) -> Topology:
        """The ring of that data center as the client knows it."""
        ring = self._router.views[0].ring
        assert ring is not None
        return ring.topology

    @property
    def buckets(self) -> list[str]:
        """The names of all buckets."""
        return sorted(self._router.views[0].buckets)

    def session(self, token: str | None = None) -> Session:
        """Begin a session: its reads show all that it has written, and never go back in time.

        With the `token` of another session, of whatever process and data center, it goes on from there.

        Raises:
            InvalidRequest: it is no token.
        """
        return Session(self._shelf.caller, token)

    async def status(self, timeout: float = 2.0) -> dict[str, dict[str, Any] | None]:
        """Return what each node of the data center says of itself, None for a node that does not answer."""
        return await self._ask_all(StatusRequest, timeout)

    async def repair(self, partition: int | None = None, timeout: float = 2.0) -> dict[str, dict[str, Any] | None]:
        """Have all replicas of the data center compare a partition (None: all of them) with each other now.

        Returns at once, like `status`; `comparing` in it counts down to an empty dict while they do.
        """
        return await self._ask_all(lambda number: RepairRequest(number, partition), timeout)

    async def inspect(self, identity: bytes, timeout: float = 2.0) -> dict[str, Held | None]:
        """Return what each node of the data center itself holds of a key, None for a node that does not answer.

        Nothing is merged or mended, and what has expired is shown until it is cleared. `identity` is what
        `ids.identity_of` returns.

        Raises:
            InvalidKey, InvalidRequest, UnknownBucket: there can be no such key.
        """
        told = await self._answers(lambda number: InspectRequest(number, identity), timeout)
        return {name: Held(told[name]) if name in told else None for name in self._node_names}

    @property
    def _node_names(self) -> list[str]:
        return sorted(self._router.views[0].connections)

    async def _ask_all(self, request: Callable[[int], Message], timeout: float) -> dict[str, dict[str, Any] | None]:
        told = await self._answers(request, timeout)
        return {name: json.loads(told[name].document) if name in told else None for name in self._node_names}

    async def _answers(self, request: Callable[[int], Message], timeout: float) -> dict[str, Any]:
        """Ask every node of the data center; return what those said that answered."""
        linked = self._router.views[0].linked
        asked = [connection.ask(request(connection.next_id()), timeout) for connection in linked.values()]
        told: dict[str, Any] = {}
        for name, answer in zip(linked, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if not isinstance(answer, BaseException):
                told[name] = answer
            elif not isinstance(answer, (LinkLost, NoAnswer)):
                raise answer
        return told

    async def close(self) -> None:
        """Close all links. Writes in flight end as `WriteTimeout`; whether they were applied is unknown."""
        await self._router.close()


class Connecting:
    """What `connect` returns: await it, or use it with `async with`."""

    def __init__(
        self, targets: tuple[str | Path | ClusterConfig, ...], datacenter: str | None, level: Level, timeout_s: float
    ) -> None:
        self._targets = targets
        self._datacenter = datacenter
        self._level = level if level is None or isinstance(level, ConsistencyLevel) else level_named(level)
        self._timeout_s = timeout_s
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

    async def _connect(self) -> Client:
        cluster, addresses = _resolve(self._targets, self._datacenter)
        router = Router(addresses, self._datacenter, f"python-{os.getpid()}")
        try:
            await router.connect(cluster, self._timeout_s)
        except BaseException:
            await router.close()
            raise
        return Client(router, self._level, self._timeout_s)


def connect(
    *targets: str | Path | ClusterConfig,
    datacenter: str | None = None,
    consistency: Level = None,
    timeout: float = DEFAULT_TIMEOUT_S,
) -> Connecting:
    """Connect to a cluster: `async with crdtkv.connect("127.0.0.1:7401") as kv: …`, or `kv = await crdtkv.connect(…)`.

    `targets` are addresses `host:port` of any nodes, the preferred first, or a `datacenters.yaml`. Requests go
    to `datacenter` (default: the first that answers), and to the next one when none of its nodes is reachable.
    `consistency` is the level of calls that name none (default: the bucket's), `timeout` their deadline in seconds.

    Raises (when awaited or entered):
        NoNodeReachable: no node answers.
        ConfigError: the `datacenters.yaml` is wrong.
        InvalidRequest: no target, a malformed address, or an unknown level or data center.
    """
    return Connecting(targets, datacenter, consistency, timeout)


def _resolve(
    targets: tuple[str | Path | ClusterConfig, ...], datacenter: str | None
) -> tuple[str, list[tuple[str, int]]]:
    """Return the cluster's name ("" if unknown) and the addresses to try, in order."""
    cluster = ""
    addresses: list[tuple[str, int]] = []
    for target in targets:
        if isinstance(target, (Path, ClusterConfig)) or target.endswith((".yaml", ".yml")):
            config = target if isinstance(target, ClusterConfig) else load(target)
            cluster = config.cluster
            if datacenter is not None and datacenter not in config.datacenters:
                known = ", ".join(config.datacenters)
                raise InvalidRequest(f"no data center {datacenter!r} in the configuration: one of {known}")
            for name in sorted(config.datacenters, key=lambda name: name != datacenter):
                addresses += [(node.host, node.port) for node in config.datacenters[name].nodes]
        else:
            host, _, port = target.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise InvalidRequest(f"an address is host:port, not {target!r}")
            addresses.append((host.strip("[]"), int(port)))
    if not addresses:
        raise InvalidRequest("connect to at least one address, or a datacenters.yaml")
    return cluster, addresses
