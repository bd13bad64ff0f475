"""Replication to and from other data centers, over their streams.

- `replication`: publishes outbox rows, applies what arrives, confirms it.
- `inbox`: what was received lately. `pacing`: how much is on its way.

Invariant: a stream message is acknowledged when a majority of this data center has all of it on disk; an outbox row
goes when every other data center has confirmed it. Imported by the core only.
"""
