"""The configuration of a cluster: one `datacenters.yaml` for all nodes, clients and tools.

The model defines the allowed values and is the reference for every default. It is pure; `loader` reads the file and
turns validation errors into `path must …` lines.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crdtkv.config.addresses import check_host, check_monitor_url, check_nats_url
from crdtkv.ids import DEFAULT_BUCKET
from crdtkv.ring.token import MAX_PARTITIONS
from crdtkv.ring.topology import RingNode, Topology

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
# Cluster and data center names are parts of NATS stream names, where `_` separates them.
ShortName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, AfterValidator(check_host)]
NatsUrl = Annotated[str, AfterValidator(check_nats_url)]
MonitorUrl = Annotated[str, AfterValidator(check_monitor_url)]
LevelName = Literal[
    "ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL", "LINEARIZABLE", "REMOTE_QUORUM", "EACH_QUORUM", "ALL"
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any) -> Any:
        """Refuse booleans: no field is one, and pydantic would accept them as numbers."""
        if isinstance(value, bool):
            raise PydanticCustomError(
                "boolean", "must not be {word}: YAML reads yes, no, on and off as true and false (put text in quotes)",
                {"word": str(value).lower()},
            )  # fmt: skip
        return value


class NodeConfig(_Model):
    """One node. `port` serves nodes and clients, `http_port` metrics and health."""

    name: Name
    host: Host = "127.0.0.1"
    port: Port
    http_port: Port
    zone: Name = "default"
    weight: float = Field(default=1.0, gt=0, le=64)


class NatsConfig(_Model):
    """The NATS server of one data center.

    `url` is its address for the nodes of this data center; `url_from` maps other data centers to the address that their
    nodes use, where it differs. `monitor_url` is its HTTP monitoring address: at the start, nodes read there whether
    the server fsyncs before it acknowledges (`sync_interval: always`).
    """

    url: NatsUrl
    url_from: dict[ShortName, NatsUrl] = Field(default_factory=dict)
    monitor_url: MonitorUrl | None = None


class DatacenterConfig(_Model):
    """One data center: its NATS and its nodes.

    If there are fewer nodes than `replication_factor`, each holds one replica.
    """

    nats: NatsConfig
    replication_factor: int = Field(default=3, ge=1, le=9)
    nodes: list[NodeConfig] = Field(min_length=1)


class BucketConfig(_Model):
    """One bucket.

    `consistency` is the default level of its requests. `ttl_s` is the default time to live of written values in
    seconds, 0 for no expiry.
    """

    consistency: LevelName = "LOCAL_QUORUM"
    ttl_s: float = Field(default=0, ge=0, le=100 * 365 * 86_400)


class StorageConfig(_Model):
    """The memory of a node's RocksDB and entry cache, and the floor of free disk space."""

    entry_cache_mib: int = Field(default=32, ge=0)
    block_cache_mib: int = Field(default=64, ge=1)
    write_buffer_mib: int = Field(default=32, ge=1)
    free_space_floor_mib: int = Field(default=256, ge=0)


class GeoConfig(_Model):
    """Replication between data centers.

    `stream_max_mib` bounds the JetStream stream, `outbox_max` the outbox rows that other data centers have not
    confirmed; above it the node drops the oldest rows of the data center that has confirmed least, and compares all
    entries with it once it is back. Every `compare_interval_s` a node compares its Merkle roots with one node of each
    other data center; `compare_max_mib_per_s` bounds the bytes of entries that it exchanges with a data center.
    """

    batch_max: int = Field(default=512, ge=1, le=4096)
    stream_max_mib: int = Field(default=1024, ge=1)
    outbox_max: int = Field(default=1_000_000, ge=100)
    republish_after_s: float = Field(default=5.0, gt=0)
    compare_interval_s: float = Field(default=10.0, gt=0)
    compare_max_mib_per_s: float = Field(default=8.0, gt=0)


class GossipConfig(_Model):
    """Failure detection: every `interval_s` each node pushes its member table to `fanout` nodes of its data center."""

    interval_s: float = Field(default=0.5, gt=0)
    fanout: int = Field(default=2, ge=1, le=16)


class HandoffConfig(_Model):
    """Hints for nodes that are down.

    A node stores at most `hints_max` hints with `hints_max_mib` of entries. When their targets are back, it delivers at
    most `max_mib_per_s`.
    """

    hints_max: int = Field(default=100_000, ge=1)
    hints_max_mib: int = Field(default=1024, ge=1)
    max_mib_per_s: float = Field(default=8.0, gt=0)


class RepairConfig(_Model):
    """Anti-entropy between the replicas of a data center.

    Every `interval_s` a node compares its Merkle roots with one other replica's; every `rebuild_s` it builds the tree
    of the next partition again from the disk. `max_mib_per_s` bounds the bytes that repair sends. A share `read_share`
    of the reads that one replica answers alone is followed by a background read of all replicas, with read repair.
    """

    interval_s: float = Field(default=1.0, gt=0)
    rebuild_s: float = Field(default=10.0, gt=0)
    max_mib_per_s: float = Field(default=8.0, gt=0)
    read_share: float = Field(default=0.01, ge=0, le=1)


class CollectionConfig(_Model):
    """Garbage collection of tombstones.

    A deleted key's tombstone stays for at least `gc_grace_s`, then until every node of its data center agrees that no
    older version can come back. The minimum of `gc_grace_s` is the 15 minutes that a request and its messages can last.
    Every `interval_s` a node searches for such keys, and asks about `batch_max` at a time.
    """

    gc_grace_s: float = Field(default=864_000.0, ge=900)
    interval_s: float = Field(default=60.0, gt=0)
    batch_max: int = Field(default=100, ge=1, le=4096)


class LimitsConfig(_Model):
    """The limits above which a node refuses: requests in flight, connections, clock drift, and the size of entries.

    Only the changed part of an entry larger than `whole_entry_bytes` is sent to the other replicas.
    """

    calls_in_flight_max: int = Field(default=20_000, ge=1)
    connections_max: int = Field(default=1_000, ge=1)
    clock_drift_max_s: int = Field(default=60, ge=1)
    entry_kib: int = Field(default=512, ge=1, le=7680)
    whole_entry_bytes: int = Field(default=1024, ge=0)

    @property
    def message_bytes(self) -> int:
        """The largest message to another data center, so that the largest entry fits: at least 4 MiB."""
        return max(4096, self.entry_kib + 96) * 1024


class ClusterConfig(_Model):
    """The whole file."""

    cluster: ShortName = "crdtkv"
    partitions: int = Field(default=256, ge=1, le=MAX_PARTITIONS)
    datacenters: dict[ShortName, DatacenterConfig] = Field(min_length=1)
    buckets: dict[Name, BucketConfig] = Field(default_factory=dict)
    storage: StorageConfig = StorageConfig()
    geo: GeoConfig = GeoConfig()
    gossip: GossipConfig = GossipConfig()
    handoff: HandoffConfig = HandoffConfig()
    repair: RepairConfig = RepairConfig()
    collection: CollectionConfig = CollectionConfig()
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _check_whole(self) -> "ClusterConfig":
        if self.partitions & (self.partitions - 1):
            raise ValueError("partitions: must be a power of two")
        seen: set[str] = set()
        for dc_name, dc in self.datacenters.items():
            for index, node in enumerate(dc.nodes):
                if node.name in seen:
                    raise ValueError(f"datacenters.{dc_name}.nodes[{index}].name: must be unique, {node.name!r} is not")
                seen.add(node.name)
            for other in dc.nats.url_from:
                if other not in self.datacenters or other == dc_name:
                    raise ValueError(f"datacenters.{dc_name}.nats.url_from.{other}: must name another data center")
        return self

    @property
    def all_buckets(self) -> dict[str, BucketConfig]:
        """The declared buckets and the default one, which always exists."""
        return {DEFAULT_BUCKET: BucketConfig(), **self.buckets}

    def peers_of(self, datacenter: str) -> list[str]:
        """Return the other data centers, sorted."""
        return sorted(name for name in self.datacenters if name != datacenter)

    def nats_url(self, datacenter: str, seen_from: str) -> str:
        """Return the address of the NATS server of `datacenter` for nodes of `seen_from`."""
        nats = self.datacenters[datacenter].nats
        return nats.url_from.get(seen_from, nats.url)

    def first_topology(self, datacenter: str) -> Topology:
        """Return the topology document of a first start, with epoch 1."""
        dc = self.datacenters[datacenter]
        return Topology(
            cluster=self.cluster,
            datacenter=datacenter,
            epoch=1,
            partitions=self.partitions,
            replication_factor=dc.replication_factor,
            nodes=tuple(
                RingNode(node.name, node.host, node.port, node.zone, node.weight)
                for node in sorted(dc.nodes, key=lambda node: node.name)
            ),
        )

    def find_node(self, name: str) -> tuple[str, NodeConfig] | None:
        """Return the data center and the configuration of a node, None if there is no such node."""
        for dc_name, dc in self.datacenters.items():
            for node in dc.nodes:
                if node.name == name:
                    return dc_name, node
        return None
