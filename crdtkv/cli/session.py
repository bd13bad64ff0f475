"""A client for one verb: chooses the data center and the level, and closes the client at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from crdtkv.client.client import Client, connect
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig, DatacenterConfig
from crdtkv.errors import InvalidRequest
from crdtkv.quorum.level import level_named

T = TypeVar("T")


def with_client(
    config: Path, datacenter: str | None, level: str | None, timeout: float, act: Callable[[Client], Awaitable[T]]
) -> T:
    """Connect to one data center of a configuration, and run `act` with the client."""
    consistency = level_named(level) if level is not None else None
    narrowed = only(load(config), datacenter)

    async def run() -> T:
        async with connect(narrowed, datacenter=datacenter, consistency=consistency, timeout=timeout) as client:
            return await act(client)

    return asyncio.run(run())


def only(config: ClusterConfig, datacenter: str | None) -> ClusterConfig:
    """Return the configuration with one data center only (the first by default): a verb connects to no other.

    Raises:
        InvalidRequest: there is no data center of that name.
    """
    chosen: dict[str, DatacenterConfig] = dict(config.datacenters)
    if datacenter is None:
        datacenter = next(iter(chosen))
    if datacenter not in chosen:
        raise InvalidRequest(f"no data center {datacenter!r} in the configuration: one of {', '.join(chosen)}")
    return config.model_copy(update={"datacenters": {datacenter: chosen[datacenter]}})
