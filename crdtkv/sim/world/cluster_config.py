"""The configuration of a simulated cluster, from the shape in its plan."""

from crdtkv.config.model import ClusterConfig
from crdtkv.sim.plan.shape import Shape


def config_of(shape: Shape, datacenters: tuple[str, ...]) -> ClusterConfig:
    """Return the configuration of a cluster of this shape, with nodes named `eu-1`, `eu-2` and so on."""
    config = ClusterConfig.model_validate(
        {
            "cluster": "sim",
            "partitions": shape.partitions,
            "geo": {
                "republish_after_s": 2.0,
                "batch_max": shape.batch_max,
                "compare_interval_s": shape.compare_interval_s,
            },
            "storage": {"entry_cache_mib": shape.entry_cache_mib},
            "limits": {
                "calls_in_flight_max": shape.calls_in_flight_max,
                "whole_entry_bytes": shape.whole_entry_bytes,
            },
            "gossip": {"interval_s": shape.gossip_interval_s},
            "handoff": {"hints_max": shape.hints_max},
            "repair": {"read_share": shape.read_share},
            "datacenters": {
                dc: {
                    "nats": {"url": f"nats://{dc}"},
                    "replication_factor": shape.replication_factor,
                    "nodes": [
                        {"name": f"{dc}-{n}", "port": 1, "http_port": 1, "zone": f"z{n}"}
                        for n in range(1, shape.nodes + 1)
                    ],
                }
                for dc in datacenters
            },
        }
    )
    # Smaller than a valid configuration allows, so that the outbox is full often, and a grace ends within a run.
    collection = {"gc_grace_s": shape.gc_grace_s, "interval_s": 60.0 if shape.gc_grace_s > 60 else 0.5}
    return config.model_copy(
        update={
            "geo": config.geo.model_copy(update={"outbox_max": shape.outbox_max}),
            "collection": config.collection.model_copy(update=collection),
        }
    )
