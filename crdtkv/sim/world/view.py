"""`WorldView`: what monitors may read of a simulated world.

Protocols with read-only members. Monitors get the world as a `WorldView`, nodes as `NodeView`s and disks as
`DiskView`s, so the type checker rejects a monitor that starts a process, sends a message or writes to a disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from crdtkv.client.core.following import Group
from crdtkv.config.model import ClusterConfig
from crdtkv.node.core import NodeCore
from crdtkv.sim.plan.plan import Plan
from crdtkv.storage.store import Row


@dataclass(frozen=True, slots=True)
class Place:
    """The data center and the name of a node."""

    datacenter: str
    node: str


class DiskView(Protocol):
    """The content of a disk. No method fails, whatever error is simulated."""

    commits: int

    @property
    def unsynced(self) -> int:
        """The number of commits that a power loss could take."""
        ...

    def visible(self, row: bytes) -> bytes | None:
        """Return the committed value of a row."""
        ...

    def committed(self, start: bytes, stop: bytes) -> list[Row]:
        """Return all committed rows of a range."""
        ...

    def durable(self, row: bytes) -> bytes | None:
        """Return the value of a row that would remain after a power loss now."""
        ...

    def durable_rows(self, start: bytes, stop: bytes) -> list[Row]:
        """Return all rows of a range that would remain after a power loss now."""
        ...


class NodeView(Protocol):
    """One node: its disk, and its core while the process runs."""

    @property
    def place(self) -> Place:
        """The data center and the name of the node."""
        ...

    @property
    def core(self) -> NodeCore | None:
        """The core of the running process, None while there is no process."""
        ...

    @property
    def disk(self) -> DiskView:
        """The disk of the node, which survives the process."""
        ...

    @property
    def process(self) -> int:
        """The number of the node's present process, which distinguishes it from earlier ones."""
        ...

    @property
    def wall_ms(self) -> int:
        """The time that the clock of the node shows, in milliseconds since 1970."""
        ...


class WatcherView(Protocol):
    """One watcher: the types that it watches, the replicas that it follows, and the entries that it has received."""

    @property
    def name(self) -> str:
        """The name of the watcher."""
        ...

    @property
    def types(self) -> Sequence[str]:
        """The types of the keys that it watches."""
        ...

    @property
    def groups(self) -> Sequence[Group]:
        """The nodes that it follows, each with its partitions."""
        ...

    @property
    def received(self) -> Mapping[bytes, bytes | None]:
        """By identity, the last entry that it has received, None for a deleted key."""
        ...


class WorldView(Protocol):
    """The whole world. `count` adds to a coverage counter, and changes nothing else."""

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        ...

    @property
    def config(self) -> ClusterConfig:
        """The configuration of the cluster."""
        ...

    @property
    def now(self) -> float:
        """The virtual time, in seconds since the start of the run."""
        ...

    @property
    def nodes(self) -> Mapping[str, NodeView]:
        """All nodes by name, also those whose process does not run."""
        ...

    def neighbors(self, node: NodeView) -> Sequence[NodeView]:
        """Return the other nodes of the data center of a node."""
        ...

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a coverage counter."""
        ...
