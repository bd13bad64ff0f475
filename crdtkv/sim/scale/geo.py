"""The costs between data centers by their number: computed from the product's rules, not simulated.

Every node keeps one connection to each data center's NATS, pulls each remote stream, and asks its own NATS about every
consumer; nothing passes through a third data center. So connections, consumers and polls grow with the number of data
centers on each node, and with its square in all. Periods and limits are the product's own constants; bytes are those
of entries, batches and confirmations that the product's own codec encodes.
"""

import sys
from dataclasses import dataclass

from crdtkv.bus.home import POLL_S
from crdtkv.bus.remote import FETCH_WAIT_S
from crdtkv.causality.dot import Dot
from crdtkv.config.model import GeoConfig
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.ids import actor_name, identity_of
from crdtkv.node.geo.replication import BATCH_BYTES
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import Confirm, GeoBatch

REPLICATION_FACTOR = 3
VALUE_BYTES = 100
# Besides the consumers a node asks for the bucket, then for the document in it (`HomeBus.agree_on_topology`).
_TOPOLOGY_REQUESTS = 2
# nats-py asks what is there, then asks again and waits (`PullSubscription.fetch`).
_REQUESTS_PER_FETCH = 2
_TIMESTAMP = 1_790_000_000_000 << 16
_OSEQ = 5_000_000


@dataclass(frozen=True, slots=True)
class GeoFigures:
    """The figures of one number of data centers, with `nodes` nodes in each.

    `key` bytes are what a write of a 100-byte value sends to all other data centers together, in a full batch: of a
    key that one node writes, and of one that every replica in every data center has written.
    """

    datacenters: int
    nodes: int
    connections_of_a_node: int
    connections_of_a_server: int
    consumers_of_a_stream: int
    idle_requests_of_a_node_per_s: float
    idle_requests_at_a_server_per_s: float
    copies_of_a_write: int
    sent_bytes_key_of_one: int
    sent_bytes_key_of_all: int
    confirmations_of_a_batch: int
    confirmation_bytes_of_a_write: float
    outbox_row_waits_bytes: int


def compute(datacenters: int, nodes: int) -> GeoFigures:
    """Derive the figures of that many data centers."""
    remote = datacenters - 1
    polls_per_s = (remote + _TOPOLOGY_REQUESTS) / POLL_S
    fetches_per_s = remote * _REQUESTS_PER_FETCH / FETCH_WAIT_S
    one = [actor_name("dc01-1", 2**63)]
    everyone = [
        actor_name(f"dc{dc:02d}-{node}", 2**63 + dc * REPLICATION_FACTOR + node)
        for dc in range(1, datacenters + 1)
        for node in range(1, REPLICATION_FACTOR + 1)
    ]
    return GeoFigures(
        datacenters=datacenters,
        nodes=nodes,
        connections_of_a_node=datacenters,
        connections_of_a_server=nodes * datacenters,
        consumers_of_a_stream=remote,
        idle_requests_of_a_node_per_s=polls_per_s + fetches_per_s,
        idle_requests_at_a_server_per_s=nodes * (polls_per_s + fetches_per_s),
        copies_of_a_write=remote,
        sent_bytes_key_of_one=round(remote * _batched_bytes(_entry_by(one))),
        sent_bytes_key_of_all=round(remote * _batched_bytes(_entry_by(everyone))),
        confirmations_of_a_batch=remote,
        confirmation_bytes_of_a_write=remote * _confirmation_bytes(),
        outbox_row_waits_bytes=sys.getsizeof({f"dc{dc:02d}" for dc in range(2, datacenters + 1)}),
    )


def _entry_by(actors: list[str]) -> bytes:
    """Return the stored entry of a register that these actors wrote, one after the other."""
    entry = Entry.empty("register")
    for number, actor in enumerate(actors):
        event = Event(Dot(actor, 1), _TIMESTAMP + number)
        entry = entry.merge(entry.delta("put", [bytes(VALUE_BYTES)], event))
    return entry.to_bytes()


def _batched_bytes(entry: bytes) -> float:
    """Return the bytes of one entry in a batch as full as it gets."""
    identity = identity_of("default", "register", "user:123456")
    count = min(GeoConfig().batch_max, BATCH_BYTES // len(entry) + 1)
    rows: list[object] = [[_OSEQ + number, identity, entry] for number in range(count)]
    return len(encode_frame(0, [GeoBatch("dc01-1", actor_name("dc01-1", 2**63), rows)])) / count


def _confirmation_bytes() -> float:
    """Return the bytes of a confirmation of a full batch, per row."""
    count = GeoConfig().batch_max
    outbox_seqs: list[object] = [_OSEQ + number for number in range(count)]
    return len(encode_frame(0, [Confirm("dc02", actor_name("dc01-1", 2**63), outbox_seqs)])) / count
