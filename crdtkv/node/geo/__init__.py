"""Replication to and from other data centers, over their streams.

- `replication`: publishes outbox rows; applies and confirms messages of other data centers.
- `inbox`: one message while it is being applied. `pacing`: how often a large entry is sent.
- `resending`: sends all entries again after a node of this data center has lost its outbox.

Invariant: a stream message is acknowledged when a majority of this data center has all of it on disk; an outbox row is
deleted when every other data center has confirmed it. Imported by the core only.
"""
