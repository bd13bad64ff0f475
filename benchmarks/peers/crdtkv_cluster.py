"""crdtkv, with one data center or with a second one on the same machine that applies every write as well."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import crdtkv
from crdtkv.cli.benchmark import verbs_of
from crdtkv.cli.closed_loop import RecordMissing
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from crdtkv.quorum.level import level_named
from peers.system import CarryOut, System

CONFIG = Path(__file__).parents[2] / "datacenters.yaml"


class Crdtkv(System):
    """The data centers of the example, of three nodes each; the client is beside the first one."""

    name = "crdtkv"
    datacenters = 1

    def __init__(self) -> None:
        self._config: ClusterConfig | None = None

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which an operation fails."""
        return (RecordMissing, crdtkv.CrdtkvError)

    def require(self) -> None:
        """Find everything: it is what runs this."""

    def variants(self, operation: str) -> list[str]:
        """Return the consistency levels: gets at ONE and at LOCAL_QUORUM."""
        return ["ONE", "LOCAL_QUORUM"] if operation == "get" else ["LOCAL_QUORUM"]

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[list[int]]:
        """Start nodes and their nats-server."""
        whole = load(CONFIG)
        kept = dict(list(whole.datacenters.items())[: self.datacenters])
        self._config = on_free_ports(whole.model_copy(update={"datacenters": kept}))
        async with LocalCluster(self._config, directory) as cluster:
            nodes = [node.pid for node in cluster.nodes.values()]
            yield nodes + [server.process.pid for server in cluster.nats.values()]

    @asynccontextmanager
    async def client(self, workers: int, variant: str, values: list[bytes]) -> AsyncIterator[CarryOut]:
        """Connect to the first data center."""
        assert self._config is not None
        first = next(iter(self._config.datacenters))
        async with crdtkv.connect(self._config, datacenter=first, timeout=10.0) as kv:
            yield verbs_of(kv, level_named(variant), values)


class CrdtkvWithPeer(Crdtkv):
    """Two data centers on this machine. Single gets are left out: what applies writes does not take part in them."""

    name = "crdtkv, 2 data centers"
    datacenters = 2

    def variants(self, operation: str) -> list[str]:
        """Return the only level, none for gets."""
        return [] if operation == "get" else ["LOCAL_QUORUM"]
