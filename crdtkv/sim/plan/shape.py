"""`Shape` and `Weather`: the sizes of a simulated cluster, and the faults that affect it all the time."""

from dataclasses import dataclass

#: Longer than any run: no tombstone is collected.
GC_GRACE_S = 864_000.0
#: How often nodes compare themselves with another data center without a mark: soon, or never within a run.
COMPARES_S, NO_COMPARISONS_S = 2.0, 3600.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes and limits of a cluster. `nodes` is the number of nodes in each data center."""

    datacenters: int = 2
    nodes: int = 3
    replication_factor: int = 3
    partitions: int = 8
    clients: int = 3
    calls_in_flight_max: int = 20_000
    batch_max: int = 512
    outbox_max: int = 1_000_000
    entry_cache_mib: int = 32
    whole_entry_bytes: int = 1024
    gossip_interval_s: float = 2.0
    hints_max: int = 100_000
    gc_grace_s: float = GC_GRACE_S
    read_share: float = 0.01
    compare_interval_s: float = NO_COMPARISONS_S
    watchers: int = 0
    watch_log_max: int = 50_000


@dataclass(frozen=True, slots=True)
class Weather:
    """The permanent faults: probabilities per message, the longest delays in seconds, the errors of clocks."""

    delay_max_s: float = 0.002
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    fsync_max_s: float = 0.002
    bus_loss: float = 0.0
    clock_offset_s: float = 0.0
    clock_drift: float = 0.0
