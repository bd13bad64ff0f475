"""The configuration of a cluster: one `datacenters.yaml` for all nodes, clients and tools.

The model says what is allowed and is the reference for every default. It is pure; reading the file and turning
validation errors into `path must …` lines is the loader's part.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crdtkv.config.addresses import check_host, check_monitor_url, check_nats_url
from crdtkv.ids import DEFAULT_BUCKET
from crdtkv.ring.token import MAX_PARTITIONS
from crdtkv.ring.topology import RingNode, Topology

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
# Cluster and data center names stand in NATS stream names, where `_` separates them.
ShortName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, AfterValidator(check_host)]
NatsUrl = Annotated[str, AfterValidator(check_nats_url)]
MonitorUrl = Annotated[str, AfterValidator(check_monitor_url)]
LevelName = Literal["ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL", "LINEARIZABLE"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any) -> Any:
        """No field is a boolean, and pydantic would take one for a number."""
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

    `url` is how its own nodes reach it; `url_from` how the nodes of other data centers do, by their name, where
    that differs. `monitor_url` is its HTTP monitoring address: nodes ask it at start whether the server
    keeps what it acknowledges (`sync_interval: always`).
    """

    url: NatsUrl
    url_from: dict[ShortName, NatsUrl] = Field(default_factory=dict)
    monitor_url: MonitorUrl | None = None


class DatacenterConfig(_Model):
    """One data center: its NATS and its nodes. Fewer nodes than `replication_factor` hold one replica each."""

    nats: NatsConfig
    replication_factor: int = Field(default=3, ge=1, le=9)
    nodes: list[NodeConfig] = Field(min_length=1)


class BucketConfig(_Model):
    """One bucket.

    `consistency` is what its requests use when they name no level, `ttl_s` after how many seconds what they write
    expires when they do not say (0: never).
    """

    consistency: LevelName = "LOCAL_QUORUM"
    ttl_s: float = Field(default=0, ge=0, le=100 * 365 * 86_400)


class StorageConfig(_Model):
    """What a node's RocksDB, and its cache of entries, may use."""

    entry_cache_mib: int = Field(default=32, ge=0)
    block_cache_mib: int = Field(default=64, ge=1)
    write_buffer_mib: int = Field(default=32, ge=1)
    free_space_floor_mib: int = Field(default=256, ge=0)


class GeoConfig(_Model):
    """Replication between data centers.

    `stream_max_mib` bounds the JetStream stream, `outbox_max` the rows a node keeps until all data centers have
    confirmed them; past it the node drops rows, and sends everything it has once the others are back.
    """

    batch_max: int = Field(default=512, ge=1, le=4096)
    stream_max_mib: int = Field(default=1024, ge=1)
    outbox_max: int = Field(default=1_000_000, ge=100)
    republish_after_s: float = Field(default=5.0, gt=0)


class GossipConfig(_Model):
    """Who is alive: every `interval_s` each node of a data center tells `fanout` others what it knows of all."""

    interval_s: float = Field(default=0.5, gt=0)
    fanout: int = Field(default=2, ge=1, le=16)


class HandoffConfig(_Model):
    """Hints for nodes that are down.

    A node keeps at most `hints_max` of them, and `hints_max_mib` of entries; when their targets are back it delivers
    at most `max_mib_per_s`.
    """

    hints_max: int = Field(default=100_000, ge=1)
    hints_max_mib: int = Field(default=1024, ge=1)
    max_mib_per_s: float = Field(default=8.0, gt=0)


class RepairConfig(_Model):
    """Anti-entropy between the replicas of a data center.

    Every `interval_s` a node compares its Merkle roots with one other replica's; `rebuild_s` after the last it builds
    the next partition's tree anew from the disk. `max_mib_per_s` bounds what mending sends. Of the reads that one
    replica answers alone, a share of `read_share` is followed by one of all replicas in the background, to mend them.
    """

    interval_s: float = Field(default=1.0, gt=0)
    rebuild_s: float = Field(default=10.0, gt=0)
    max_mib_per_s: float = Field(default=8.0, gt=0)
    read_share: float = Field(default=0.01, ge=0, le=1)


class CollectionConfig(_Model):
    """When tombstones go.

    A deleted key's tombstone stays for at least `gc_grace_s`, then until every node of its data center agrees that
    nothing older can come back. That takes no less than the 15 minutes a request and its messages can live. Every
    `interval_s` a node looks for such keys, and asks about `batch_max` at a time.
    """

    gc_grace_s: float = Field(default=864_000.0, ge=900)
    interval_s: float = Field(default=60.0, gt=0)
    batch_max: int = Field(default=100, ge=1, le=4096)


class LimitsConfig(_Model):
    """Where a node refuses: requests in flight, connections, clocks ahead, and entries a write would make too large.

    Of entries larger than `whole_entry_bytes` only what a write changes is sent to the other replicas.
    """

    calls_in_flight_max: int = Field(default=20_000, ge=1)
    connections_max: int = Field(default=1_000, ge=1)
    clock_drift_max_s: int = Field(default=60, ge=1)
    entry_kib: int = Field(default=512, ge=1, le=7680)
    whole_entry_bytes: int = Field(default=1024, ge=0)

    @property
    def message_bytes(self) -> int:
        """What one message to another data center may take, so that the largest entry fits: 4 MiB at least."""
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
        """Return how nodes of `seen_from` reach the NATS server of `datacenter`."""
        nats = self.datacenters[datacenter].nats
        return nats.url_from.get(seen_from, nats.url)

    def first_topology(self, datacenter: str) -> Topology:
        """Return the document a data center starts with, epoch 1."""
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
        """Return the data center and the configuration of a node."""
        for dc_name, dc in self.datacenters.items():
            for node in dc.nodes:
                if node.name == name:
                    return dc_name, node
        return None
