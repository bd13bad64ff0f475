"""The report on scale: for people a line per figure and a column per size, for programs JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from crdtkv.node.membership.gossip import GossipSettings
from crdtkv.sim.scale.geo import GeoFigures
from crdtkv.sim.scale.gossip import Conditions, GossipFigures
from crdtkv.sim.scale.ring import RingFigures

#: What a line says, the field it shows, and how.
Line = tuple[str, str, str]

GOSSIP_LINES: list[Line] = [
    ("nodes", "nodes", ",d"),
    ("messages sent, per node and second", "messages_per_s", ",.1f"),
    ("bytes sent, per node and second", "sent_bytes_per_s", ",.0f"),
    ("bytes received, per node and second", "received_bytes_per_s", ",.0f"),
    ("both, the busiest node", "busiest_bytes_per_s", ",.0f"),
    ("largest message, bytes", "largest_message_bytes", ",d"),
    ("silence until a node is suspected, s", "suspect_after_s", ".2f"),
    ("killed: seen down after, median, s", "killed_median_s", ".2f"),
    ("killed: seen down by all after, s", "killed_max_s", ".2f"),
    ("black-holed: seen down after, median, s", "silent_median_s", ".2f"),
    ("black-holed: seen down by all after, s", "silent_max_s", ".2f"),
    ("never seen down (observers x victims)", "undetected", ",d"),
    ("healthy nodes suspected by one", "false_suspicions", ",d"),
    ("healthy nodes taken for down", "false_alarms", ",d"),
]
RING_LINES: list[Line] = [
    ("nodes", "nodes", ",d"),
    ("partitions", "partitions", ",d"),
    ("load of the fullest node / mean", "max_to_mean", ".2f"),
    ("load of the emptiest node / mean", "min_to_mean", ".2f"),
    ("nodes without any data", "without_data", ",d"),
    ("keys moved by a node that joins", "moved_by_joining", ".3%"),
    ("  ideal, 1 / (n + 1)", "ideal_joining", ".3%"),
    ("keys moved by a node that leaves", "moved_by_leaving", ".3%"),
    ("  ideal, 1 / n", "ideal_leaving", ".3%"),
    ("building the ring, s", "build_s", ".3f"),
    ("memory of the ring, MiB", "memory_mib", ".1f"),
]
GEO_LINES: list[Line] = [
    ("data centers", "datacenters", ",d"),
    ("NATS connections of a node", "connections_of_a_node", ",d"),
    ("NATS connections at a server", "connections_of_a_server", ",d"),
    ("durable consumers of a stream", "consumers_of_a_stream", ",d"),
    ("idle requests of a node, per second", "idle_requests_of_a_node_per_s", ",.1f"),
    ("idle requests at a server, per second", "idle_requests_at_a_server_per_s", ",.1f"),
    ("copies of a write that leave", "copies_of_a_write", ",d"),
    ("  bytes, key of one writer", "sent_bytes_key_of_one", ",d"),
    ("  bytes, key written everywhere", "sent_bytes_key_of_all", ",d"),
    ("confirmations of a batch", "confirmations_of_a_batch", ",d"),
    ("  bytes per write", "confirmation_bytes_of_a_write", ",.1f"),
    ("memory of who has not confirmed a row", "outbox_row_waits_bytes", ",d"),
]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured, by size."""

    conditions: Conditions
    settings: GossipSettings
    gossip: list[GossipFigures] = field(default_factory=list)
    ring: list[RingFigures] = field(default_factory=list)
    geo: list[GeoFigures] = field(default_factory=list)

    def to_json(self) -> str:
        """Return the report for programs."""
        return json.dumps(asdict(self), indent=1)

    def to_text(self) -> str:
        """Return the report for people."""
        conditions = self.conditions
        links = f"{conditions.loss:.0%} loss, {conditions.jitter_s * 1000:g} ms jitter"
        world = f"{conditions.seconds:g} s, seed {conditions.seed}, {links}"
        spoken = f"fanout {self.settings.fanout}, at most {self.settings.rows_max:,} rows a message"
        nodes = self.geo[0].nodes
        return "\n\n".join(
            [
                f"Gossip in one data center (simulated: {world};\n{spoken})\n" + table(GOSSIP_LINES, self.gossip),
                "The ring (the product's own, 3 replicas)\n" + table(RING_LINES, self.ring),
                f"Between data centers (computed, {nodes} nodes in each)\n" + table(GEO_LINES, self.geo),
            ]
        )


def table(lines: Sequence[Line], figures: Sequence[Any]) -> str:
    """Return figures as a table with one column each, without lines that have no value."""
    rows = [[name, *(_cell(getattr(figure, key), style) for figure in figures)] for name, key, style in lines]
    rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _cell(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)
