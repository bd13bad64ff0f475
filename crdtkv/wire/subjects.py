"""The names on NATS: built and parsed only here.

For cluster `c`, data center `d`, node `n`:

    crdtkv.c.d.log.n           messages that n publishes; captured by the stream of d
    crdtkv.c.d.geo.e.n         from data center e to node n of d: confirmations, requests for rights
    CRDTKV_c_d                 the stream of d
    to-e                       the durable consumer on it that all nodes of e share
    crdtkv-c-d-topology        the KV bucket of d; key `topology`
"""

from typing import NamedTuple

TOPOLOGY_KEY = "topology"

# Headers of log messages, for people and tools; correctness reads only the payload.
HEADER_NODE = "Crdtkv-Node"
HEADER_COUNT = "Crdtkv-Count"
HEADER_FIRST_KEY = "Crdtkv-First-Key"
HEADER_TIME = "Crdtkv-Time"
HEADER_CONTENT_TYPE = "Content-Type"
CONTENT_TYPE = "application/cbor; schema=crdtkv-geo-batch"


class DatacenterNames(NamedTuple):
    """The names that belong to one data center of a cluster."""

    cluster: str
    datacenter: str

    @property
    def stream(self) -> str:
        """The JetStream stream."""
        return f"CRDTKV_{self.cluster}_{self.datacenter}"

    @property
    def stream_subjects(self) -> str:
        """The subjects that the stream captures."""
        return f"crdtkv.{self.cluster}.{self.datacenter}.log.>"

    @property
    def topology_bucket(self) -> str:
        """The KV bucket."""
        return f"crdtkv-{self.cluster}-{self.datacenter}-topology"

    def log(self, node: str) -> str:
        """Return the subject to which a node publishes its outbox."""
        return f"crdtkv.{self.cluster}.{self.datacenter}.log.{node}"

    def geo(self, sender: str, node: str) -> str:
        """Return the subject of messages from data center `sender` to `node`."""
        return f"crdtkv.{self.cluster}.{self.datacenter}.geo.{sender}.{node}"

    def geo_of(self, node: str) -> str:
        """Return the subject of messages from any data center to `node`."""
        return self.geo("*", node)


def starts_key(node: str) -> str:
    """Return the key in the topology bucket under which a node's starts are counted."""
    return f"starts.{node}"


def consumer_of(datacenter: str) -> str:
    """Return the name of the durable consumer of a data center."""
    return f"to-{datacenter}"
