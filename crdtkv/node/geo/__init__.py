"""Replication to and from other data centers, over their streams.

- `replication`: publishes outbox rows; applies and confirms messages of other data centers.
- `inbox`: one message while it is being applied. `pacing`: how often a large entry is sent.
- `anti_entropy`: compares Merkle trees with other data centers, and exchanges what differs.
- `lost_outboxes`: begins a comparison after a node of this data center has lost its outbox.

Invariant: a stream message is acknowledged when a majority of this data center has all of it on disk; an outbox row is
deleted when every other data center has confirmed it, or is marked for a comparison. Imported by the core only.
"""
